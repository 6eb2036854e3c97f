//! Posts requests to accounting: one at a time, or several in one body.

use crate::domain::books::accounting::{AccountingRequest, RequestId};
use crate::telemetry;
use crate::workers::accounting::{Desk, answer, voucher};
use crate::workers::delivery::{self, Posted};

/// Posts them, and says what became of each, in their order.
///
/// A batch that is refused as a whole is posted again one by one, so that one bad request does not
/// park the others.
pub(super) async fn post(desk: &Desk, requests: &[AccountingRequest]) -> Vec<Posted> {
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
        Exchanged::Refused(_) if requests.len() > 1 => {
            let mut posted = Vec::with_capacity(requests.len());
            for request in requests {
                posted.extend(exchange(desk, std::slice::from_ref(request)).await.of_all(1));
            }
            count(requests, posted)
        }
        refused => count(requests, refused.of_all(requests.len())),
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
                "accounting refuses a request; it is parked"
            );
        }
    }
    posted
}

/// What became of one batch.
enum Exchanged {
    Results(Vec<Posted>),
    /// It does not take this body, and would not take it again.
    Refused(String),
    Later(String),
}

impl Exchanged {
    fn of_all(self, count: usize) -> Vec<Posted> {
        match self {
            Self::Results(posted) => posted,
            Self::Refused(text) => vec![Posted::Refused(text); count],
            Self::Later(text) => vec![Posted::Later(text); count],
        }
    }
}

async fn exchange(desk: &Desk, requests: &[AccountingRequest]) -> Exchanged {
    let body = voucher::batch_body(requests);
    let (status, bytes) = match delivery::exchange(&desk.client, &desk.url, body).await {
        Ok(answered) => answered,
        Err(text) => return Exchanged::Later(text),
    };
    let asked: Vec<RequestId> = requests.iter().map(|request| request.id).collect();
    match status.as_u16() {
        // An answer that does not read proves nothing: the same keys make a repeat harmless.
        200..=299 | 409 => match answer::read(&bytes, &asked) {
            Some(posted) => Exchanged::Results(posted),
            None => Exchanged::Later(format!("its answer under {status} does not read")),
        },
        408 | 425 | 429 => Exchanged::Later(format!("it answered {status}")),
        400..=499 => Exchanged::Refused(format!("it answered {status}")),
        _ => Exchanged::Later(format!("it answered {status}")),
    }
}
