//! Posts requests to accounting: one at a time, or several in one body.

use reqwest::header::HeaderName;

use crate::codec::voucher;
use crate::domain::books::accounting::{AccountingRequest, RequestId};
use crate::telemetry;
use crate::telemetry::spans;
use crate::workers::accounting::{AccountingDesk, answer};
use crate::workers::delivery::{self, PostFacts, PostResult, PostSpan};

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
            let facts = facts(desk, request);
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

/// What a request's trace is told of its post.
fn facts(desk: &AccountingDesk, request: &AccountingRequest) -> PostFacts {
    let place = request.order().and_then(|order| desk.engine.traces().of(order));
    PostFacts { to: "accounting", place, now: desk.engine.clock().now() }
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
    /// The one of the request at this place.
    fn at(&self, place: usize) -> &PostResult {
        match self {
            Self::Results(posted) => &posted[place],
            Self::All(posted) => posted,
        }
    }

    fn of_all(self, count: usize) -> Vec<PostResult> {
        match self {
            Self::Results(posted) => posted,
            Self::All(posted) => vec![posted; count],
        }
    }
}

/// Each request has a span of the post in its own trace. The receiver can go on below one span
/// alone, so it is told where only if there is one.
async fn exchange(desk: &AccountingDesk, requests: &[AccountingRequest]) -> PostAnswers {
    let is_alone = requests.len() == 1;
    let is_told = is_alone || spans::queue().is_some();
    let told = requests.iter().filter(|_| is_told);
    let spans: Vec<PostSpan> = told.map(|one| PostSpan::begin(facts(desk, one))).collect();
    let headers = spans.first().filter(|_| is_alone).map(PostSpan::headers).unwrap_or_default();
    let answers = answers(desk, requests, headers).await;
    for (place, span) in spans.into_iter().enumerate() {
        span.end(answers.at(place), requests.len());
    }
    answers
}

async fn answers(
    desk: &AccountingDesk,
    requests: &[AccountingRequest],
    headers: Vec<(HeaderName, String)>,
) -> PostAnswers {
    let body = voucher::post_body(requests);
    let (status, bytes) = match delivery::exchange(&desk.client, &desk.url, body, headers).await {
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
