//! Posts requests to accounting: one at a time, or several in one body.

use reqwest::header::HeaderName;

use crate::codec::voucher;
use crate::domain::books::accounting::{AccountingRequest, RequestId};
use crate::telemetry;
use crate::workers::accounting::{AccountingDesk, answer};
use crate::workers::delivery::{self, PostFacts, PostResult};

/// Posts them, and says what became of each, in their order.
///
/// A post that is refused as a whole is made again one by one, so that one bad request does not
/// park the others.
pub(super) async fn post(desk: &AccountingDesk, requests: &[AccountingRequest]) -> Vec<PostResult> {
    if desk.work.batch_max <= 1 {
        let mut posted = Vec::with_capacity(requests.len());
        for request in requests {
            let body = voucher::body(request);
            let key = (HeaderName::from_static("idempotency-key"), request.id.to_string());
            let place = request.order().and_then(|order| desk.engine.traces().of(order));
            let facts = PostFacts { to: "accounting", place, now: desk.engine.clock().now() };
            posted.push(delivery::post(&desk.client, &desk.url, body, vec![key], facts).await);
        }
        return count(requests, posted);
    }
    match exchange(desk, requests).await {
        PostAnswers::Results(posted) => count(requests, posted),
        PostAnswers::All(PostResult::Refused(_)) if requests.len() > 1 => {
            let mut posted = Vec::with_capacity(requests.len());
            for request in requests {
                posted.extend(exchange(desk, std::slice::from_ref(request)).await.of_all(1));
            }
            count(requests, posted)
        }
        PostAnswers::All(posted) => count(requests, vec![posted; requests.len()]),
    }
}

fn count(requests: &[AccountingRequest], posted: Vec<PostResult>) -> Vec<PostResult> {
    assert_eq!(requests.len(), posted.len(), "each request has its fate");
    for (request, posted) in requests.iter().zip(&posted) {
        telemetry::count_delivery("accounting", delivery::result(posted));
        if let PostResult::Refused(answer) = posted {
            tracing::error!(
                request.id = %request.id,
                answer,
                "accounting refuses a request; it is parked for manual review"
            );
        }
    }
    posted
}

/// The answers to one post.
enum PostAnswers {
    Results(Vec<PostResult>),
    /// The same for each of it.
    All(PostResult),
}

impl PostAnswers {
    fn of_all(self, count: usize) -> Vec<PostResult> {
        match self {
            Self::Results(posted) => posted,
            Self::All(posted) => vec![posted; count],
        }
    }
}

async fn exchange(desk: &AccountingDesk, requests: &[AccountingRequest]) -> PostAnswers {
    let body = voucher::post_body(requests);
    let (status, bytes) = match delivery::exchange(&desk.client, &desk.url, body).await {
        Ok(answered) => answered,
        Err(silence) => return PostAnswers::All(silence),
    };
    let asked: Vec<RequestId> = requests.iter().map(|request| request.id).collect();
    PostAnswers::All(match status.as_u16() {
        // An answer that does not read proves nothing: the same keys make a repeat harmless.
        200..=299 | 409 => match answer::read(&bytes, &asked) {
            Some(posted) => return PostAnswers::Results(posted),
            None => PostResult::Unanswered(format!("the answer under {status} cannot be read")),
        },
        425 | 429 => PostResult::Later(format!("it answered {status}")),
        408 => PostResult::Unanswered(format!("it answered {status}")),
        400..=499 => PostResult::Refused(format!("it answered {status}")),
        _ => PostResult::Unanswered(format!("it answered {status}")),
    })
}
