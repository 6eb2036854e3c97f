//! Files that operators and schemes hand out: certificates and BIN tables.

use std::cell::Cell;
use std::sync::{Once, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use switchyard::codec::certificate::Certificate;
use switchyard::codec::chain::TrustedAuthorities;
use switchyard::tables::bin::{
    FAULTS_KEPT_MAX, ReadOptions, TableFormat, TextEncoding, UnreadableTable, read_table, write_csv,
};

use super::{choose, quotes_no_card, tamper, unionpay};

/// 2025-06-01, while every certificate of ours is good.
const AT_S: i64 = 1_748_744_160;

fn authorities() -> &'static TrustedAuthorities {
    static AUTHORITIES: OnceLock<TrustedAuthorities> = OnceLock::new();
    let keys = unionpay::keys();
    AUTHORITIES.get_or_init(|| {
        TrustedAuthorities::from_pem(&keys.root_pem, Some(&keys.intermediate_pem))
            .expect("two authorities")
    })
}

/// The first byte chooses: the rest is a PEM text, or the DER in one, or places to change in a
/// certificate that is believed.
pub fn certificate(bytes: &[u8]) {
    let Some((choice, rest)) = choose(bytes) else { return };
    let text = match choice % 3 {
        0 => String::from_utf8_lossy(rest).into_owned(),
        1 => armour(rest),
        _ => {
            let own = ours();
            assert!(authorities().verify(&own, AT_S).is_ok(), "ours is not believed");
            let mut der = own.der().to_vec();
            match rest {
                [high, low, change, ..] => {
                    let place = usize::from(u16::from_be_bytes([*high, *low])) % der.len();
                    der[place] ^= change;
                }
                _ => tamper(&mut der, choice),
            }
            if der == own.der() {
                return;
            }
            armour(&der)
        }
    };
    match Certificate::all_from_pem(&text) {
        Ok(all) => all.iter().for_each(disbelieve),
        Err(error) => quotes_no_card(&error),
    }
}

fn armour(der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}

fn ours() -> Certificate {
    Certificate::from_pem(unionpay::platform_certificate()).expect("it was just made")
}

/// Everything that is believed of a certificate.
fn facts(certificate: &Certificate) -> (&str, Option<&str>, i64, i64, &[u8]) {
    (
        certificate.serial_decimal(),
        certificate.common_name(),
        certificate.valid_from_s(),
        certificate.valid_until_s(),
        certificate.public_key_der(),
    )
}

/// Nobody but our authorities could have made a certificate that is believed.
fn disbelieve(certificate: &Certificate) {
    match authorities().verify(certificate, AT_S) {
        // Beside what is signed there are bytes that say nothing, such as a tag.
        Ok(_) => assert!(facts(certificate) == facts(&ours()), "a stranger is believed"),
        Err(error) => quotes_no_card(&error),
    }
    if let Ok(verifier) = certificate.verifier() {
        assert!(verifier.verify(b"text", b"no signature").is_err());
    }
    if let Ok(encryptor) = certificate.encryptor() {
        // A public key may be of any numbers, and refuse.
        let _either = encryptor.encrypt(b"text");
    }
}

thread_local! {
    /// Whether a panic of this thread is caught by the code under test and no news.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// The parser of spreadsheets panics on damaged ones, which its caller catches. libFuzzer ends the
/// process at any panic unless it is told otherwise, and tests would print each of them.
fn without_news<T>(run: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |news| {
            if !QUIET.get() {
                usual(news);
            }
        }));
    });
    QUIET.set(true);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    QUIET.set(false);
    result.unwrap_or_else(|_| panic!("a panic came out of a reader of tables"))
}

/// The first byte chooses format and encoding, or leaves both to be found.
pub fn bin_table(bytes: &[u8]) {
    let Some((choice, table)) = choose(bytes) else { return };
    let format = match choice % 5 {
        0 => None,
        1 => Some(TableFormat::Csv),
        2 => Some(TableFormat::Xls),
        3 => Some(TableFormat::Delimited),
        _ => Some(TableFormat::Fixed),
    };
    let encoding = match choice / 5 % 3 {
        0 => None,
        1 => Some(TextEncoding::Utf8),
        _ => Some(TextEncoding::Gbk),
    };
    let read = match without_news(|| read_table(table, ReadOptions { format, encoding })) {
        Ok(read) => read,
        Err(error) => {
            if let UnreadableTable::Invalid(faults) = &error {
                assert!(faults.count > 0 && faults.first.len() <= FAULTS_KEPT_MAX);
                faults.first.iter().for_each(|fault| quotes_no_card(&fault.problem));
            }
            return quotes_no_card(&error);
        }
    };
    // A row takes at least its BIN, its length, a code and a name.
    assert!(read.table.len() * 12 <= table.len(), "more rows than there is room for");
    let csv = write_csv(&read.table);
    let again = read_table(&csv, ReadOptions::default()).expect("our own format reads");
    assert_eq!(again.format, TableFormat::Csv);
    assert_eq!(read.table.rows(), again.table.rows(), "what was written says the same");
    assert_eq!(csv, write_csv(&again.table), "there is one way to write a table");
}
