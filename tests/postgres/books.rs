//! What the tests commit, and what the database itself says of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use switchyard::domain::write_set::WriteSet;
use switchyard::store::postgres::{PostgresSettings, PostgresStore};
use switchyard::store::{CommitError, Store};
use tokio_postgres::Client;

use crate::support::books::{accepted, audit, id, order, paid};

/// Attempts at one commit, 20 ms and more apart.
const ATTEMPTS_MAX: u32 = 3_000;

/// A store at this address.
pub async fn open(url: &str) -> Arc<dyn Store> {
    let store = PostgresStore::open(&PostgresSettings::at(url)).await;
    Arc::new(store.unwrap_or_else(|error| panic!("{url}: {error}")))
}

/// A number that a variable of the environment has, or else this one.
pub fn knob(variable: &str, otherwise: u64) -> u64 {
    let named = std::env::var(variable).ok();
    let number = named.map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}: a number")));
    number.unwrap_or(otherwise)
}

/// The first commit of payment `number`, or its second one. Its line of the audit trail is told by
/// `mark`, so that a write set that is written twice shows.
pub fn payment(number: u64, is_second: bool, mark: &str) -> WriteSet {
    let order = order(number);
    let writes = if is_second { paid(&order) } else { accepted(&order) };
    WriteSet { audit: vec![audit(mark)], ..writes }
}

/// What commits were answered, by their marks.
#[derive(Debug, Default)]
pub struct Answers {
    pub written: Vec<String>,
    pub refused: Vec<String>,
}

impl Answers {
    pub fn extend(&mut self, others: Self) {
        self.written.extend(others.written);
        self.refused.extend(others.refused);
    }
}

/// Makes payments under these numbers one after the other until each is written; whatever the
/// database goes through, an answer is one of those that a caller can live with.
pub async fn pay(store: &dyn Store, numbers: impl Iterator<Item = u64>) -> Answers {
    let mut answers = Answers::default();
    for number in numbers {
        for is_second in [false, true] {
            // Ends with what is written, or after more than a minute.
            for attempt in 0..=ATTEMPTS_MAX {
                assert!(attempt < ATTEMPTS_MAX, "payment {number} is never written");
                let mark = format!("{number}/{is_second}/{attempt}");
                match store.commit(&payment(number, is_second, &mark)).await {
                    Ok(()) => {
                        answers.written.push(mark);
                        break;
                    }
                    Err(CommitError::Unavailable(_) | CommitError::Busy) => {
                        answers.refused.push(mark);
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    Err(error) => panic!("{mark}: {error:?}"),
                }
            }
        }
    }
    answers
}

/// Compares answers with what the database has: what was acknowledged is there, once, and what was
/// refused is not.
pub async fn are_true(client: &Client, answers: &Answers) {
    let rows = client.query("SELECT subject, count(*) FROM audit GROUP BY 1", &[]).await;
    let rows = rows.expect("the audit trail");
    let times: BTreeMap<String, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    for mark in &answers.written {
        assert_eq!(times.get(mark), Some(&1), "{mark} was acknowledged");
    }
    for mark in &answers.refused {
        assert_eq!(times.get(mark), None, "{mark} was refused");
    }
    assert_eq!(times.len(), answers.written.len(), "whatever is there was acknowledged");
    for mark in &answers.written {
        let (number, is_second) = mark.split_once('/').expect("a mark has parts");
        let number = id(number.parse().expect("a number")).as_u64().cast_signed();
        let find = "SELECT version FROM orders WHERE id = $1";
        let version: i64 = client.query_one(find, &[&number]).await.expect("the order").get(0);
        assert!(version == 2 || !is_second.starts_with("true"), "{mark}: version {version}");
    }
}
