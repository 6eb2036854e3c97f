//! What is kept of a request: of every secret word of the language its mask alone.

use super::super::word::Word;
use super::*;
use crate::channel::SentStamp;
use crate::channel::protocol::transcript::MASK;
use crate::domain::card::{CardToken, SmsCode};
use crate::domain::instrument::Instrument;
use crate::domain::payee_account::{AccountKind, PayeeAccount};
use crate::domain::payer_code::PayerCode;

/// Two people who share what may be shown, and nothing else.
struct Payer {
    card: [&'static str; 7],
    sms_code: &'static str,
    token: &'static str,
    payer_code: &'static str,
    account: [&'static str; 2],
}

const PAYERS: [Payer; 2] = [
    Payer {
        card: [
            "6216261739507730018",
            "4907",
            "847",
            "ZHANG SANFENG",
            "01",
            "110101194903077718",
            "13800138473",
        ],
        sms_code: "482913",
        token: "tok-3fa85f64-5717",
        payer_code: "134975510273381234",
        account: ["zhang.three@mail.example", "ZHANG QIANQIAN"],
    },
    Payer {
        card: ["6216269028461350018", "3112", "916", "LI SI", "02", "E77120934", "15911112222"],
        sms_code: "105577",
        token: "tok-c0ffee00-9999",
        payer_code: "137306184429051234",
        account: ["+86-15933334444", "OUYANG FENG"],
    },
];

impl Payer {
    fn card(&self) -> CardInput {
        let [pan, expiry, cvv, holder, id_type, id_number, phone] = self.card;
        CardInput {
            pan: Pan::of_digits(pan).expect("19 digits"),
            expiry: Expiry::parse_yymm(expiry),
            cvv: Cvv::parse(cvv),
            holder: Some(holder.to_owned()),
            id_type: Some(id_type.to_owned()),
            id_number: Some(id_number.to_owned()),
            phone: Some(phone.to_owned()),
        }
    }

    /// The request in which the word has a value, and the value.
    fn asks(&self, word: Word) -> (ChannelRequest, Option<&'static str>) {
        let [pan, expiry, cvv, holder, id_type, id_number, phone] = self.card;
        let [account, name] = self.account;
        let value = match word {
            Word::CardNumber => Some(pan),
            Word::CardExpiry => Some(expiry),
            Word::CardCvv => Some(cvv),
            Word::CardHolder => Some(holder),
            Word::CardIdType => Some(id_type),
            Word::CardIdNumber => Some(id_number),
            Word::CardPhone => Some(phone),
            Word::SmsCode => Some(self.sms_code),
            Word::AgreementToken => Some(self.token),
            Word::PayerCode => Some(self.payer_code),
            Word::PayeeAccount => Some(account),
            Word::PayeeName => Some(name),
            _ => None,
        };
        let mut facts = facts(7);
        let instrument = match word {
            Word::AgreementToken => Instrument::Agreement {
                token: CardToken::parse(self.token, phone).expect("it is short and plain"),
                sms_code: None,
            },
            Word::PayerCode => {
                Instrument::Code(PayerCode::parse(self.payer_code).expect("18 digits"))
            }
            Word::PayeeAccount | Word::PayeeName => {
                let kind = AccountKind::Login;
                (facts.operation, facts.payee_kind) = (Operation::Payout, Some(kind));
                PayeeAccount::parse(kind, account, Some(name)).expect("a right id").into()
            }
            _ => Instrument::Card { card: self.card(), sms_code: SmsCode::parse(self.sms_code) },
        };
        (ChannelRequest::Charge { facts, instrument: instrument.into() }, value)
    }
}

/// A file whose requests have the word and our number.
fn naming(word: Word) -> Declarative {
    let own = match word {
        Word::EnvelopeKey => {
            "encrypt = { algorithm = \"aes-gcm\", key = \"file:keys/canyon-pay-platform.pem\", \
             key_under = \"rsa-oaep-sha256\" }\n"
        }
        Word::Token => {
            "[http.token]\npath = \"/token\"\nbody = { grant = \"client\" }\n\
             reply = { token = \"/token\", expires_in = \"/seconds\" }\n"
        }
        _ => "",
    };
    let plain = "[http.payment]\npath = \"/pay\"\nbody = { no = \"{{ order_no }}\" }\n\
                 reply = { code = \"/code\" }\n";
    let (section, others) = match word {
        Word::PayeeAccount | Word::PayeeName => ("payout", plain),
        _ => ("payment", ""),
    };
    let text = format!(
        "[codes]\n0000 = \"approved\"\n\
         [http]\nbase_url = \"https://api.bank.example\"\nverify = {{ none = true }}\n{own}{others}\
         [http.{section}]\npath = \"/pay\"\nreply = {{ code = \"/code\" }}\n\
         body = {{ no = \"{{{{ order_no }}}}\", secret = \"{{{{ {} }}}}\" }}\n",
        word.name()
    );
    load(&text).unwrap_or_else(|found| panic!("{}: {found:#?}", word.name()))
}

#[test]
fn i_11_every_secret_word_of_the_language_shows_its_mask_alone() {
    let secret: Vec<Word> = Word::ALL.into_iter().filter(|word| word.is_secret()).collect();
    assert!(secret.len() > 10, "{secret:?}");
    for word in secret {
        let (adapter, name) = (naming(word), word.name());
        let stamp = SentStamp { at: now(), signature: String::new() };
        let words = PAYERS.each_ref().map(|payer| {
            let (request, value) = payer.asks(word);
            if let Some(value) = value {
                let wire = adapter.encode(&request, now()).unwrap_or_else(|no| panic!("{no}"));
                let body = String::from_utf8_lossy(&wire.body).into_owned();
                assert!(body.contains(value), "{name} has its value on the wire: {body}");
            }
            adapter.sent_words(&request, &stamp)
        });
        assert_eq!(words[0], words[1], "{name}: what is secret changes the words");
        let mask = match word {
            Word::CardNumber => "621626*********0018",
            Word::PayerCode => "13************1234",
            _ => MASK,
        };
        let body = format!(r#"{{"no":"{ORDER}","secret":"{mask}"}}"#);
        assert_eq!(words[0].lines().last(), Some(body.as_str()), "{name}: {}", words[0]);
    }
}
