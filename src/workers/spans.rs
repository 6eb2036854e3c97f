//! Posts spans to the collector that the settings name (OTLP over HTTP, in JSON).
//!
//! What a collector does not take, or what is lost with the process, is gone: a trace explains, and
//! nothing rests on it. So a post is made once, and what became of its spans is counted.

use reqwest::Client;
use reqwest::header::CONTENT_TYPE;

use crate::config::otlp::OtlpSettings;
use crate::telemetry::spans::{self, EndedSpan, SpanQueue, SpanResource, count_spans};
use crate::workers::delivery;
use crate::workers::driver::{Tasks, Worker};

/// Posts of one round at most.
const ROUND_POSTS_MAX: usize = 32;
/// The most bytes of a collector's answer that are read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Spans wait this long at most.
pub const EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// Why spans were not taken.
#[derive(Debug, thiserror::Error)]
enum SpanRefusal {
    #[error("the collector answered {0}")]
    Status(reqwest::StatusCode),
    #[error("the collector did not answer")]
    NoAnswer(#[source] reqwest::Error),
}

/// Posts the spans that wait.
pub struct SpanWorker {
    queue: &'static SpanQueue,
    client: Client,
    endpoint: String,
    resource: SpanResource,
}

impl SpanWorker {
    /// Has the process make spans from now on, whose ids follow from the seed; `Ok(None)` where the
    /// settings name no collector.
    pub fn new(
        settings: &OtlpSettings,
        resource: SpanResource,
        seed: u64,
    ) -> Result<Option<Self>, String> {
        let Some(endpoint) = settings.endpoint.clone() else { return Ok(None) };
        let client = delivery::client(settings.timeout)?;
        let queue = spans::begin(settings.sample_percent, seed);
        Ok(Some(Self { queue, client, endpoint, resource }))
    }

    async fn post(&self, spans: &[EndedSpan]) -> Result<(), SpanRefusal> {
        let body = spans::body(&self.resource, spans);
        let request = self.client.post(&self.endpoint).header(CONTENT_TYPE, "application/json");
        let none = |error: reqwest::Error| SpanRefusal::NoAnswer(error.without_url());
        let sent = request.body(body).send().await.map_err(none);
        let refused = match sent {
            Ok(response) if response.status().is_success() => rejected(response).await,
            Ok(response) => return Err(SpanRefusal::Status(response.status())),
            Err(error) => return Err(error),
        };
        let refused = usize::try_from(refused).unwrap_or(usize::MAX).min(spans.len());
        count_spans("exported", spans.len() - refused);
        count_spans("refused", refused);
        Ok(())
    }

    /// Posts what waits, and gives how many spans that were.
    async fn post_all(&self, tasks: &mut Tasks) -> usize {
        let mut count = 0;
        for _ in 0..ROUND_POSTS_MAX {
            let waiting = self.queue.take();
            if waiting.is_empty() {
                break;
            }
            count += waiting.len();
            if let Err(refusal) = self.post(&waiting).await {
                count_spans("refused", waiting.len());
                tasks.fail("spans are lost: the collector of traces does not take them", &refusal);
                break;
            }
        }
        count
    }
}

/// How many spans of a post that was taken the collector has not kept. An answer that does not
/// come whole, or has no end, complains of none.
async fn rejected(mut response: reqwest::Response) -> u64 {
    let mut answer = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        if answer.len() + piece.len() > ANSWER_BYTES_MAX {
            return 0;
        }
        answer.extend_from_slice(&piece);
    }
    spans::rejected(&answer)
}

impl Worker for SpanWorker {
    const NAME: &'static str = "spans";

    async fn round(&mut self, tasks: &mut Tasks) -> usize {
        self.post_all(tasks).await
    }

    fn signal(&mut self) -> impl Future<Output = ()> + Send {
        self.queue.is_much()
    }

    async fn end(&mut self, mut tasks: Tasks) {
        self.post_all(&mut tasks).await;
        tasks.finish().await;
    }
}
