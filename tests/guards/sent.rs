//! What is kept of a request that was sent, for every shipped file: the words of two requests that
//! differ in nothing but what is secret are the same, so nothing of it can be in them.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use switchyard::certify::stand_ins;
use switchyard::channel::file::ChannelFile;
use switchyard::channel::file::whole::WholeFile;
use switchyard::channel::protocol::iso8583::Iso8583;
use switchyard::channel::protocol::sample::{
    SAMPLE_DATE, sample_facts, sample_now, sample_requests,
};
use switchyard::channel::protocol::{self, ProtocolAdapter};
use switchyard::channel::{
    Adapter, AttemptFacts, ChannelRequest, LinkAdapter as _, SentStamp, TRANSCRIPT_BYTES_MAX,
    WireRequest,
};
use switchyard::config::mistake::Mistakes;
use switchyard::domain::attempt::Operation;
use switchyard::domain::card::{CardInput, CardToken, Cvv, Expiry, Pan, SmsCode};
use switchyard::domain::ids::{ChannelId, OrderId};
use switchyard::domain::instrument::Instrument;
use switchyard::domain::payee_account::{AccountKind, PayeeAccount};
use switchyard::domain::payer_code::PayerCode;
use switchyard::domain::terms::CommonTerms;

/// One cardholder or payee. Two of them share what may be shown: the first six and last four digits
/// of the card, the first two and last four of the payer's code, and which facts are known at all.
struct Person {
    pan: &'static str,
    expiry: &'static str,
    cvv: &'static str,
    holder: &'static str,
    id_type: &'static str,
    id_number: &'static str,
    phone: &'static str,
    sms_code: &'static str,
    token: &'static str,
    payer_code: &'static str,
    /// An id of an account of each kind, in the order of the kinds.
    accounts: [&'static str; AccountKind::ALL.len()],
    /// The name of the accounts' holder.
    payee: &'static str,
}

const PEOPLE: [Person; 2] = [
    Person {
        pan: "6216261739507730018",
        expiry: "4907",
        cvv: "847",
        holder: "ZHANG SANFENG",
        id_type: "01",
        id_number: "110101194903077718",
        phone: "13800138473",
        sms_code: "482913",
        token: "tok-3fa85f64-5717",
        payer_code: "134975510273381234",
        accounts: ["zhang.three@mail.example", "2088104729356607", "oUpF8uMZhang", "65007391824"],
        payee: "ZHANG QIANQIAN",
    },
    Person {
        pan: "6216269028461350018",
        expiry: "3112",
        cvv: "916",
        holder: "LI SI",
        id_type: "02",
        id_number: "E77120934",
        phone: "15911112222",
        sms_code: "105577",
        token: "tok-c0ffee00-9999",
        payer_code: "137306184429051234",
        accounts: ["+86-15933334444", "2088999900001111", "oQr7-LiSi-77", "65118800224466"],
        payee: "OUYANG FENG",
    },
];

impl Person {
    fn pan(&self) -> Pan {
        Pan::of_digits(self.pan).expect("19 digits")
    }

    fn card(&self) -> CardInput {
        CardInput {
            pan: self.pan(),
            expiry: Expiry::parse_yymm(self.expiry),
            cvv: Cvv::parse(self.cvv),
            holder: Some(self.holder.to_owned()),
            id_type: Some(self.id_type.to_owned()),
            id_number: Some(self.id_number.to_owned()),
            phone: Some(self.phone.to_owned()),
        }
    }

    /// A request with this person's card in place of the sample's.
    fn asks(&self, request: ChannelRequest) -> ChannelRequest {
        let pan = Some(self.pan());
        match request {
            ChannelRequest::Charge { facts, .. } => {
                let mut card = self.card();
                if facts.operation == Operation::Payout {
                    (card.expiry, card.cvv) = (None, None);
                }
                ChannelRequest::Charge { facts, instrument: card.into() }
            }
            ChannelRequest::Inquiry { facts, original, now, .. } => {
                ChannelRequest::Inquiry { facts, original, pan, now }
            }
            ChannelRequest::Reversal { facts, original, now, .. } => {
                ChannelRequest::Reversal { facts, original, pan, now }
            }
            ChannelRequest::FollowUp { facts, original, .. } => {
                ChannelRequest::FollowUp { facts, original, pan }
            }
            ChannelRequest::Service { .. } => request,
        }
    }

    /// Every request that an order's story may have.
    fn requests(&self) -> Vec<ChannelRequest> {
        let of_orders = |request: &ChannelRequest| request.attempt().is_some();
        let samples = sample_requests(sample_now()).into_iter().filter(of_orders);
        let others = [Operation::Payment, Operation::Preauth].into_iter();
        let others = others.flat_map(|operation| self.charges(operation));
        let samples = samples.map(|request| self.asks(request));
        samples.chain(others).chain(self.payouts()).collect()
    }

    /// Charges by what is no bare card.
    fn charges(&self, operation: Operation) -> [ChannelRequest; 3] {
        let by = |instrument| ChannelRequest::Charge {
            facts: sample_facts(operation, 2),
            instrument: Arc::new(instrument),
        };
        let token = CardToken::parse(self.token, self.phone).expect("it is short and plain");
        let code = PayerCode::parse(self.payer_code).expect("18 digits");
        let sms_code = || SmsCode::parse(self.sms_code);
        [
            Instrument::Card { card: self.card(), sms_code: sms_code() },
            Instrument::Agreement { token, sms_code: sms_code() },
            Instrument::Code(code),
        ]
        .map(by)
    }

    /// Payouts to an account of each kind.
    fn payouts(&self) -> impl Iterator<Item = ChannelRequest> {
        AccountKind::ALL.into_iter().zip(self.accounts).map(|(kind, id)| {
            let account = PayeeAccount::parse(kind, id, Some(self.payee)).expect("a right id");
            let facts = sample_facts(Operation::Payout, 2);
            let facts = AttemptFacts { payee_kind: Some(kind), ..facts };
            ChannelRequest::Charge { facts, instrument: Arc::new(account.into()) }
        })
    }

    /// What of this person stands in the words: nothing may.
    fn found_in(&self, words: &str) -> Option<&'static str> {
        let hidden = [&self.pan[6..15], self.expiry, self.cvv, self.holder, self.id_number];
        let others = [self.phone, self.sms_code, self.token, &self.payer_code[2..14], self.payee];
        // The short ones of digits may be a part of some other number.
        let alone = |text: &str| {
            let mut runs = words.split(|sign: char| !sign.is_alphanumeric());
            if text.len() > 6 { words.contains(text) } else { runs.any(|run| run == text) }
        };
        hidden.into_iter().chain(others).chain(self.accounts).find(|text| alone(text))
    }
}

fn shipped() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("channels");
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "toml")).collect();
    files.sort();
    files
}

/// A file's adapter under made-up credentials, and those.
fn adapter(path: &Path) -> (ProtocolAdapter, Vec<String>) {
    let whole = WholeFile::read(path).expect("a right file");
    let mistakes = Mistakes::new();
    let root = whole.document.root(&mistakes);
    let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
    let id = ChannelId::parse(stem).expect("an id");
    let file = ChannelFile::read(&root, id, &CommonTerms::default());
    let (made, given) = (stand_ins(path), RefCell::new(Vec::new()));
    let resolve = |reference: &str| {
        let text = made(reference)?;
        given.borrow_mut().push(text.clone());
        Ok(text)
    };
    let built = protocol::read(&root, &file, &resolve).expect("an adapter");
    (built, given.into_inner())
}

/// The words of both people's requests, which must be the same.
fn same_words(name: &str, both: [String; 2], secrets: &[String]) -> String {
    let [words, other] = both;
    assert_eq!(words, other, "{name}: what is secret changes the words");
    assert!(words.len() <= TRANSCRIPT_BYTES_MAX, "{name}");
    for person in &PEOPLE {
        assert_eq!(person.found_in(&words), None, "{name}: {words}");
    }
    for line in secrets.iter().flat_map(|text| text.lines()).filter(|line| line.len() > 7) {
        assert!(!words.contains(line), "{name}: a credential is in {words}");
    }
    words
}

/// The words of every request that the file has, and whether each is a payout to an account.
fn over_http(name: &str, adapter: &dyn Adapter, secrets: &[String]) -> Vec<(bool, String)> {
    let [one, other] = PEOPLE.each_ref().map(Person::requests);
    let mut all = Vec::new();
    for (request, twin) in one.iter().zip(&other) {
        let at = sample_now();
        let written = [request, twin].map(|request| adapter.encode(request, at));
        let [Ok(wire), Ok(_)] = written else { continue };
        let WireRequest { method, url, signature, .. } = wire;
        let stamp = SentStamp { at, signature };
        let both = [request, twin].map(|request| adapter.sent_words(request, &stamp));
        let words = same_words(name, both, secrets);
        assert!(words.starts_with(&format!("{method} {url}")), "{name}: {words}");
        let whole = stamp.signature.len() > 12 && words.contains(&stamp.signature);
        assert!(!whole || request.echo().is_none(), "{name}: the signature proves guesses");
        let begins = stamp.signature.get(..12).unwrap_or_default();
        assert!(words.contains(begins), "{name}: the signature is not in {words}");
        let to_account = request.attempt().is_some_and(|facts| facts.payee_kind.is_some());
        all.push((to_account, words));
    }
    all
}

/// The same request of another node, which alone the channel's terminals are for.
fn at_node(mut request: ChannelRequest, node: u16) -> ChannelRequest {
    let renumber = |facts: &mut AttemptFacts| {
        let sequence = facts.channel_order_no.order.as_u64() % 10_000_000_000;
        facts.channel_order_no.order = OrderId::compose(SAMPLE_DATE, node, sequence);
    };
    match &mut request {
        ChannelRequest::Charge { facts, .. } => renumber(facts),
        ChannelRequest::FollowUp { facts, original, .. } => {
            renumber(facts);
            renumber(original);
        }
        ChannelRequest::Inquiry { facts, original, .. }
        | ChannelRequest::Reversal { facts, original, .. } => {
            renumber(facts);
            original.iter_mut().for_each(renumber);
        }
        ChannelRequest::Service { .. } => {}
    }
    request
}

fn over_links(name: &str, adapter: &Iso8583, secrets: &[String]) -> Vec<(bool, String)> {
    let node = adapter.first_node();
    let of_node = |person: &Person| -> Vec<ChannelRequest> {
        person.requests().into_iter().map(|request| at_node(request, node)).collect()
    };
    let [one, other] = PEOPLE.each_ref().map(of_node);
    let mut all = Vec::new();
    for (request, twin) in one.iter().zip(&other) {
        let mac = Some(b"0A1B2C3D");
        let both = [request, twin].map(|one| adapter.sent_words(one, sample_now(), mac));
        let words = same_words(name, both, secrets);
        if !words.starts_with("not to be shown") {
            assert!(words.ends_with("=0A1B2C3D"), "{name}: {words}");
            all.push((false, words));
        }
    }
    all
}

#[test]
fn i_11_nothing_secret_can_be_in_the_words_of_a_request_of_any_shipped_file() {
    let files = shipped();
    assert!(files.len() > 10, "{files:?}");
    let mut with_accounts = 0;
    for path in files {
        let name = path.display().to_string();
        let (built, secrets) = adapter(&path);
        let all = match built {
            ProtocolAdapter::Http(adapter) => over_http(&name, &*adapter, &secrets),
            ProtocolAdapter::Links(read) => over_links(&name, &read.adapter, &secrets),
        };
        assert!(all.len() > 3, "{name}: {all:#?}");
        let is_masked = |(_, words): &(bool, String)| {
            ["621626*********0018", "13************1234", "***"]
                .iter()
                .any(|one| words.contains(one))
        };
        assert!(all.iter().any(is_masked), "{name}: {all:#?}");
        let mut to_accounts = all.iter().filter(|(is_to_account, _)| *is_to_account).peekable();
        with_accounts += usize::from(to_accounts.peek().is_some());
        for (_, words) in to_accounts {
            assert!(words.contains("***"), "{name}: the account and its holder: {words}");
        }
    }
    assert!(with_accounts > 1, "more than one file pays to accounts");
}
