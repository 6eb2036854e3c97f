//! UnionPay's further operations and its statement file, from a merchant's side.

use std::io::{Cursor, Read};

use flate2::read::ZlibDecoder;

use super::*;
use crate::simulator::keys::tests::shared_keys;

const DAY_MS: i64 = 24 * 3_600_000;

async fn platform(differences_percent: u8) -> (Simulator, AcpMerchant, Inbox, TestClock) {
    let clock = TestClock::noon();
    let inbox = Inbox::open(&[]).await;
    let settings = SimulatorSettings::unionpay_acp("unionpay", shared_keys(), clock.clock())
        .with_declines_percent(0)
        .with_differences_percent(differences_percent)
        .with_working(DurationRange::ZERO);
    let simulator = Simulator::start(settings).await.expect("a simulator");
    let merchant = AcpMerchant::of(&simulator, &inbox.url);
    (simulator, merchant, inbox, clock)
}

impl AcpMerchant {
    async fn preauthorise(&self, order_no: &str) -> Fields {
        let mut fields = self.consume_fields(order_no);
        fields.set("txnType", "02");
        self.ask(BACK, fields).await
    }

    async fn follow(&self, kind: &str, order_no: &str, of: &str, amount: &str) -> Fields {
        let mut fields = Self::fields((kind, "00"), order_no);
        fields.set("origQryId", of);
        fields.set("txnAmt", amount);
        fields.set("currencyCode", "156");
        fields.set("backUrl", &self.back_url);
        self.ask(BACK, fields).await
    }

    async fn file(&self, mmdd: &str) -> Fields {
        let mut fields = Self::fields(("76", "01"), "x");
        for key in ["orderId", "channelType"] {
            fields.remove(key);
        }
        fields.set("fileType", "00");
        fields.set("settleDate", mmdd);
        let response = self.send("/", fields).await.expect("a response");
        let body = response.bytes().await.expect("a body");
        let fields = Fields::decode_line(&body, FieldLimits::FILE).expect("a message");
        assert!(self.proves(&fields));
        fields
    }
}

fn reference(fields: &Fields) -> String {
    assert_eq!(code(fields), "00", "{:?}", fields.get("respMsg"));
    fields.get("queryId").expect("the platform's number").to_owned()
}

#[tokio::test]
async fn a_refund_is_accepted_in_parts_until_nothing_is_left() {
    let (simulator, merchant, inbox, clock) = platform(0).await;
    let charge = reference(&merchant.consume(&order_no(1)).await);
    clock.forward(40 * DAY_MS);
    assert_eq!(code(&merchant.follow("04", &order_no(2), &charge, "1001").await), "36");
    assert_eq!(code(&merchant.follow("04", &order_no(3), &charge, "400").await), "00");
    assert_eq!(code(&merchant.follow("04", &order_no(3), &charge, "400").await), "12");
    assert_eq!(code(&merchant.follow("31", &order_no(4), &charge, "1000").await), "35");
    assert_eq!(code(&merchant.follow("04", &order_no(5), &charge, "600").await), "00");
    assert_eq!(code(&merchant.follow("04", &order_no(6), &charge, "1").await), "45");
    assert_eq!(code(&merchant.reverse(&order_no(5)).await), "35", "refunds are never reversed");
    until("all is told", || simulator.notices_waiting() == 0).await;
    let told: Vec<_> =
        inbox.notices().iter().map(|n| n.get("txnType").map(str::to_owned)).collect();
    assert_eq!(told.iter().flatten().filter(|kind| *kind == "04").count(), 2);
    let query = merchant.query(&order_no(3)).await;
    assert_eq!((code(&query), query.get("origRespCode")), ("00", Some("00")));
    assert_eq!(simulator.stop().await.net_minor()[&order_no(1)[..19]], 0);
}

#[tokio::test]
async fn an_authorisation_is_captured_and_each_has_its_own_undo() {
    let (simulator, merchant, _inbox, _) = platform(0).await;
    let held = reference(&merchant.preauthorise(&order_no(1)).await);
    assert_eq!(code(&merchant.follow("03", &order_no(2), &held, "1151").await), "36");
    let captured = reference(&merchant.follow("03", &order_no(3), &held, "1150").await);
    assert_eq!(code(&merchant.follow("32", &order_no(4), &held, "1000").await), "45");
    // The type must fit what it undoes.
    assert_eq!(code(&merchant.follow("31", &order_no(5), &captured, "1150").await), "36");
    assert_eq!(code(&merchant.follow("33", &order_no(6), &captured, "1150").await), "00");
    assert_eq!(code(&merchant.follow("32", &order_no(7), &held, "1000").await), "00");
    let ledger = simulator.stop().await;
    assert_eq!(ledger.count(EntryState::Undone), 2);
    assert_eq!(ledger.net_minor().values().sum::<i64>(), 0);
}

#[tokio::test]
async fn an_original_is_named_by_either_number() {
    let (_simulator, merchant, _inbox, _) = platform(0).await;
    merchant.consume(&order_no(1)).await;
    let mut fields = AcpMerchant::fields(("31", "00"), &order_no(2));
    fields.set("origOrderId", &order_no(1));
    fields.set("origTxnTime", "20261122120001");
    fields.set("txnAmt", "1000");
    fields.set("currencyCode", "156");
    fields.set("backUrl", &merchant.back_url);
    assert_eq!(code(&merchant.ask(BACK, fields.clone()).await), "35");
    fields.set("origTxnTime", "20261122120000");
    assert_eq!(code(&merchant.ask(BACK, fields).await), "00");
}

/// The members of the statement's archive, by name.
fn members(fields: &Fields) -> Vec<(String, Vec<u8>)> {
    let packed = STANDARD.decode(fields.get("fileContent").expect("a file")).expect("base64");
    let mut zipped = Vec::new();
    ZlibDecoder::new(&packed[..]).read_to_end(&mut zipped).expect("a zlib stream");
    let mut archive = zip::ZipArchive::new(Cursor::new(zipped)).expect("a ZIP file");
    let mut found = Vec::new();
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).expect("a member");
        let name = member.name().expect("a name").into_owned();
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).expect("its bytes");
        found.push((name, bytes));
    }
    found
}

/// The lines of the detail file, each cut into its columns by bytes.
fn detail(bytes: &[u8]) -> Vec<Vec<String>> {
    let widths = [
        3, 11, 11, 6, 10, 19, 12, 4, 2, 21, 2, 32, 2, 6, 10, 13, 13, 4, 15, 2, 2, 6, 2, 4, 32, 1,
        21, 15, 1, 15, 32, 13, 13, 8, 32, 13, 13, 12, 2, 1, 32, 98,
    ];
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let columns = |line: &[u8]| -> Vec<String> {
        assert_eq!((line.len(), line.last()), (608, Some(&b'\r')));
        let mut at = 0;
        widths
            .iter()
            .map(|width| {
                let cut = &line[at..at + width];
                at += width + 1;
                encoding_rs::GBK.decode(cut).0.trim_end().to_owned()
            })
            .collect()
    };
    lines.map(columns).collect()
}

#[tokio::test]
async fn the_statement_of_a_day_has_its_finished_work_and_adds_up() {
    let (simulator, merchant, _inbox, clock) = platform(0).await;
    let charge = reference(&merchant.consume(&order_no(1)).await);
    merchant.follow("04", &order_no(2), &charge, "400").await;
    let held = reference(&merchant.preauthorise(&order_no(3)).await);
    merchant.follow("03", &order_no(4), &held, "900").await;
    let undone = reference(&merchant.consume(&order_no(5)).await);
    merchant.follow("31", &order_no(6), &undone, "1000").await;
    merchant.consume(&order_no(7)).await;
    merchant.reverse(&order_no(7)).await;
    assert_eq!(code(&merchant.file("1122").await), "98", "the day is not over");
    clock.forward(DAY_MS);
    assert_eq!(code(&merchant.file("1121").await), "98", "nothing happened");
    assert_eq!(code(&merchant.file("1399").await), "10");
    let answer = merchant.file("1122").await;
    assert_eq!(code(&answer), "00");
    assert_eq!(answer.get("fileName"), Some("777290058110097_20261122.zip"));
    let files = members(&answer);
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "INN26112288ZM_777290058110097",
        "INN26112288ZME_777290058110097",
        "RD201026112201_777290058110097",
    ];
    assert_eq!(names, expected);
    let lines = detail(&files[0].1);
    let seen: Vec<_> = lines.iter().map(|line| (line[11].as_str(), line[19].as_str())).collect();
    let numbers = [1, 2, 4, 5, 6].map(order_no);
    let kinds = ["01", "04", "03", "01", "31"];
    assert_eq!(seen, numbers.iter().map(String::as_str).zip(kinds).collect::<Vec<_>>());
    let minor = |text: &str| -> i64 {
        let value: i64 = text[1..].parse().expect("digits");
        if text.starts_with('C') { value } else { -value }
    };
    for line in &lines {
        let amount: i64 = line[6].parse().expect("digits");
        let paid = if minor(&line[16]) > 0 { amount } else { -amount };
        assert_eq!(paid + minor(&line[15]), minor(&line[16]), "{line:?}");
        assert_eq!(line[30], "模拟商户");
    }
    assert_eq!((lines[0][5].as_str(), lines[0][9].as_str()), ("621626*********0018", &charge[..]));
    assert_eq!(lines[1][26], charge);
    let report = encoding_rs::GBK.decode(&files[2].1).0.into_owned();
    let total = report.lines().find(|line| line.starts_with("总计")).expect("a total");
    let words: Vec<&str> = total.split_whitespace().collect();
    assert_eq!(words, ["总计", "5", "14.00", "29.00", "0.11", "0.05", "13.95", "28.89"]);
    assert!(
        simulator
            .planted_differences(BusinessDate::parse("2026-11-22").expect("a date"))
            .is_empty()
    );
}

#[tokio::test]
async fn planted_differences_are_listed_and_the_same_for_one_seed() {
    let (simulator, merchant, _inbox, clock) = platform(50).await;
    for index in 0..60 {
        merchant.consume(&order_no(index)).await;
    }
    clock.forward(DAY_MS);
    let lines = detail(&members(&merchant.file("1122").await)[0].1);
    let date = BusinessDate::parse("2026-11-22").expect("a date");
    let planted = simulator.planted_differences(date);
    assert_eq!(planted, simulator.planted_differences(date));
    let count = |kind| planted.iter().filter(|one| one.kind == kind).count();
    let more = count(DifferenceKind::Foreign) + count(DifferenceKind::Repeated);
    let fewer = count(DifferenceKind::Missing) + count(DifferenceKind::ShiftedOut);
    assert_eq!(lines.len(), 60 + more - fewer);
    for one in &planted {
        let found: Vec<_> = lines.iter().filter(|line| line[11] == one.order_no).collect();
        let expected = match one.kind {
            DifferenceKind::Missing | DifferenceKind::ShiftedOut => 0,
            DifferenceKind::Repeated => 2,
            DifferenceKind::Foreign | DifferenceKind::Amount | DifferenceKind::Fee => 1,
            other => panic!("nothing in these lines can show {other:?}, or not on the first date"),
        };
        assert_eq!(found.len(), expected, "{one:?}");
        match one.kind {
            DifferenceKind::Amount => assert_eq!(found[0][6], "000000001001"),
            DifferenceKind::Fee => assert_eq!(found[0][15], "D000000000005"),
            _ => {}
        }
    }
    let kinds: std::collections::BTreeSet<_> = planted.iter().map(|one| one.kind).collect();
    assert_eq!(kinds.len(), 6, "seed 1 plants every kind: {planted:?}");
    let url = format!("{}/statements/2026-11-22/planted", simulator.base_url());
    let listed = client().get(url).send().await.expect("a list").text().await.expect("text");
    assert_eq!(listed.lines().count(), planted.len());
}

/// Each message is spoken in its product, as UnionPay's documents say; what a page of UnionPay's
/// would begin, and a product that nobody knows, is not permitted.
#[tokio::test]
async fn a_message_in_another_product_is_not_permitted() {
    let (_simulator, merchant, _inbox, _clock) = platform(0).await;
    let consume = async |index: u32, product: &str| {
        let mut fields = merchant.consume_fields(&order_no(index));
        fields.set("bizType", product);
        merchant.ask(BACK, fields).await
    };
    let paid = reference(&consume(1, "000301").await);
    let others = ["000000", "000201", "000202", "000401", "000501", "000902", "000999"];
    for (index, product) in (2..).zip(others) {
        assert_eq!(code(&consume(index, product).await), "32", "a consume in {product}");
    }
    assert_eq!(code(&consume(20, "301").await), "10", "six digits");
    let follow = async |index: u32, product: &str| {
        let mut fields = AcpMerchant::fields(("04", "00"), &order_no(index));
        for (key, value) in [("bizType", product), ("origQryId", &paid), ("txnAmt", "1")] {
            fields.set(key, value);
        }
        fields.set("currencyCode", "156");
        fields.set("backUrl", &merchant.back_url);
        code(&merchant.ask(BACK, fields).await).to_owned()
    };
    assert_eq!(follow(30, "000301").await, "00", "that of its original");
    assert_eq!(follow(31, "000902").await, "36", "that of another");
    assert_eq!(follow(32, "000000").await, "32");
    let mut reversal = AcpMerchant::fields(("99", "01"), &order_no(1));
    reversal.set("bizType", "000301");
    assert_eq!(code(&merchant.ask(BACK, reversal).await), "32", "a reversal is of no product");
}
