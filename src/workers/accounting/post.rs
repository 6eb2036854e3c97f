//! Posts requests to accounting: one at a time, or several in one body.

use crate::domain::books::accounting::{AccountingRequest, RequestId};
use crate::telemetry;
use crate::workers::accounting::{AccountingDesk, answer, voucher};
use crate::workers::delivery::{self, Posted};

/// Posts them, and says what became of each, in their order.
///
/// A batch that is refused as a whole is posted again one by one, so that one bad request does not
/// park the others.
pub(super) async fn post(desk: &AccountingDesk, requests: &[AccountingRequest]) -> Vec<Posted> {
    if desk.work.batch_max <= 1 {
        let mut posted = Vec::with_capacity(requests.len());
        for request in requests {
            let key = request.id.to_string();
            let body = voucher::body(request);
            posted.push(delivery::post(&desk.client, &desk.url, &key, body, Vec::new()).await);
        }
        return count(requests, posted);
    }
    match exchange(desk, requests).await {
        Exchanged::Results(posted) => count(requests, posted),
        Exchanged::All(Posted::Refused(_)) if requests.len() > 1 => {
            let mut posted = Vec::with_capacity(requests.len());
            for request in requests {
                posted.extend(exchange(desk, std::slice::from_ref(request)).await.of_all(1));
            }
            count(requests, posted)
        }
        Exchanged::All(posted) => count(requests, vec![posted; requests.len()]),
    }
}

fn count(requests: &[AccountingRequest], posted: Vec<Posted>) -> Vec<Posted> {
    assert_eq!(requests.len(), posted.len(), "each request has its fate");
    for (request, posted) in requests.iter().zip(&posted) {
        telemetry::count_delivery("accounting", delivery::result(posted));
        if let Posted::Refused(answer) = posted {
            tracing::error!(
                request.id = %request.id,
                answer,
                "accounting refuses a request; it is parked for manual review"
            );
        }
    }
    posted
}

/// What became of one batch.
enum Exchanged {
    Results(Vec<Posted>),
    /// The same for each of it.
    All(Posted),
}

impl Exchanged {
    fn of_all(self, count: usize) -> Vec<Posted> {
        match self {
            Self::Results(posted) => posted,
            Self::All(posted) => vec![posted; count],
        }
    }
}

async fn exchange(desk: &AccountingDesk, requests: &[AccountingRequest]) -> Exchanged {
    let body = voucher::batch_body(requests);
    let (status, bytes) = match delivery::exchange(&desk.client, &desk.url, body).await {
        Ok(answered) => answered,
        Err(silence) => return Exchanged::All(silence),
    };
    let asked: Vec<RequestId> = requests.iter().map(|request| request.id).collect();
    Exchanged::All(match status.as_u16() {
        // An answer that does not read proves nothing: the same keys make a repeat harmless.
        200..=299 | 409 => match answer::read(&bytes, &asked) {
            Some(posted) => return Exchanged::Results(posted),
            None => Posted::Unanswered(format!("its answer under {status} does not read")),
        },
        425 | 429 => Posted::Later(format!("it answered {status}")),
        408 => Posted::Unanswered(format!("it answered {status}")),
        400..=499 => Posted::Refused(format!("it answered {status}")),
        _ => Posted::Unanswered(format!("it answered {status}")),
    })
}
