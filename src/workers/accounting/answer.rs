//! Reads what accounting answers to a post.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::domain::books::accounting::RequestId;
use crate::domain::card::words::mask_cards;
use crate::workers::delivery::{LAST_ERROR_CHARS_MAX, PostResult};

#[derive(Deserialize)]
struct PostAnswer {
    results: Vec<ResultForm>,
}

#[derive(Deserialize)]
struct ResultForm {
    id: String,
    status: String,
    #[serde(default)]
    detail: Option<String>,
}

impl ResultForm {
    fn posted(&self) -> PostResult {
        let detail = self.detail.as_deref().unwrap_or("accounting gave no reason");
        let shortened = || mask_cards(detail).chars().take(LAST_ERROR_CHARS_MAX).collect();
        match self.status.as_str() {
            "booked" | "already_booked" => PostResult::Acknowledged,
            "refused" => PostResult::Refused(shortened()),
            _ => PostResult::Unanswered("the answer has an unknown status".to_owned()),
        }
    }
}

/// The result of each request, in their order. `None` if the answer does not read.
///
/// A request that the answer does not name stays owed, and so does one with two answers that
/// differ.
pub(super) fn read(bytes: &[u8], asked: &[RequestId]) -> Option<Vec<PostResult>> {
    let answer: PostAnswer = serde_json::from_slice(bytes).ok()?;
    let mut found: BTreeMap<RequestId, PostResult> = BTreeMap::new();
    for result in &answer.results {
        let Some(id) = RequestId::parse(&result.id) else { continue };
        let posted = result.posted();
        let differs = found.get(&id).is_some_and(|other| *other != posted);
        let posted =
            if differs { PostResult::Unanswered("it answered twice".to_owned()) } else { posted };
        found.insert(id, posted);
    }
    let missing = || PostResult::Unanswered("the answer does not name the request".to_owned());
    Some(asked.iter().map(|id| found.remove(id).unwrap_or_else(missing)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::OrderId;

    fn id(sequence: u16) -> RequestId {
        RequestId { chain: OrderId::compose(261_122, 1, 1), sequence }
    }

    #[test]
    fn every_request_has_one_fate_and_silence_books_nothing() {
        let asked = [id(1), id(2), id(3), id(4), id(5), id(6)];
        let result = |id: RequestId, status: &str| {
            let id = id.to_string();
            serde_json::json!({ "id": id, "status": status, "detail": "why" })
        };
        let answer = serde_json::json!({ "results": [
            result(id(2), "already_booked"), result(id(1), "booked"), result(id(3), "refused"),
            result(id(4), "perhaps"), result(id(5), "booked"), result(id(5), "refused"),
            { "id": "of another world", "status": "booked" }, result(id(9), "booked"),
        ]});
        let read = read(answer.to_string().as_bytes(), &asked).expect("it reads");
        assert_eq!(read[..2], [PostResult::Acknowledged, PostResult::Acknowledged]);
        assert_eq!(read[2], PostResult::Refused("why".to_owned()));
        for posted in &read[3..] {
            assert!(matches!(posted, PostResult::Unanswered(_)), "{posted:?}");
        }
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for bytes in ["", "{}", "[]", "{\"results\":[{}]}", "{\"results\":{}}", "ok"] {
            assert_eq!(read(bytes.as_bytes(), &[id(1)]), None, "{bytes}");
        }
    }
}
