//! The trace that a call is a part of (W3C Trace Context), and how it goes on to whom we post to.
//!
//! A trace explains; nothing rests on it. So it is held in memory alone and within a bound, and a
//! post that is made by another process, or long after, goes without it.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use crate::domain::ids::OrderId;

/// Orders whose traces are held: a notice usually follows within seconds.
const ORDERS_MAX: usize = 10_000;
/// The most bytes of `tracestate` that are passed on; the recommendation asks for 512 at least.
const STATE_BYTES_MAX: usize = 512;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// A trace that came with a call, and the span of ours in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// 32 lower-case hexadecimal digits, as they came.
    trace_id: [u8; 32],
    /// The caller's span; `None` where the trace begins with us.
    parent: Option<u64>,
    /// Our span, below it.
    span_id: u64,
    /// Two hexadecimal digits, of which only "sampled" is known; they go on as they came.
    flags: [u8; 2],
    state: Option<Arc<str>>,
}

impl TraceContext {
    /// The trace of a request. One that does not read is as good as none, as the recommendation
    /// says. `span_id` is ours and must not be zero.
    pub fn of(headers: &HeaderMap, span_id: u64) -> Option<Self> {
        let mut parents = headers.get_all(TRACEPARENT).iter();
        let parent = parents.next().filter(|_| parents.next().is_none())?.as_bytes();
        let (trace_id, parent, flags) = read_parent(parent)?;
        let states: Vec<&str> =
            headers.get_all(TRACESTATE).iter().filter_map(|value| value.to_str().ok()).collect();
        let state = states.join(",");
        let fits = !state.is_empty() && state.len() <= STATE_BYTES_MAX;
        let state = fits.then(|| state.into());
        Some(Self { trace_id, parent: Some(parent), span_id, flags, state })
    }

    /// A trace that begins with us. Neither half of its id nor the span is zero.
    pub fn begin(id: (u64, u64), span_id: u64, is_sampled: bool) -> Self {
        let text = format!("{:016x}{:016x}", id.0, id.1);
        let trace_id = text.as_bytes().try_into().expect("32 digits");
        let flags = if is_sampled { *b"01" } else { *b"00" };
        Self { trace_id, parent: None, span_id, flags, state: None }
    }

    /// The same trace, at a span below this one.
    pub fn below(&self, span_id: u64) -> Self {
        Self { parent: Some(self.span_id), span_id, ..self.clone() }
    }

    pub const fn parent(&self) -> Option<u64> {
        self.parent
    }

    pub const fn span_id(&self) -> u64 {
        self.span_id
    }

    /// Whether whoever has begun the trace wants it to be recorded.
    pub fn is_sampled(&self) -> bool {
        // An odd last digit: the lowest bit.
        u8::from_str_radix(std::str::from_utf8(&self.flags[1..]).unwrap_or("0"), 16)
            .is_ok_and(|digit| digit & 1 == 1)
    }

    /// What a request of ours says that belongs to the trace.
    pub fn headers(&self) -> Vec<(HeaderName, String)> {
        let flags = std::str::from_utf8(&self.flags).expect("hexadecimal digits");
        let mut headers =
            vec![(TRACEPARENT, format!("00-{}-{:016x}-{flags}", self.trace_id(), self.span_id))];
        headers.extend(self.state.as_deref().map(|state| (TRACESTATE, state.to_owned())));
        headers
    }

    pub fn trace_id(&self) -> &str {
        std::str::from_utf8(&self.trace_id).expect("hexadecimal digits")
    }
}

/// The trace id, the caller's span and the flags of `version-trace-parent-flags`. A later version
/// may say more behind these.
fn read_parent(text: &[u8]) -> Option<([u8; 32], u64, [u8; 2])> {
    let is_hex =
        |part: &[u8]| part.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte));
    let is_zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
    let parts: [&[u8]; 4] =
        [text.get(..2)?, text.get(3..35)?, text.get(36..52)?, text.get(53..55)?];
    let [version, trace, parent, flags] = parts;
    let dashes = [2, 35, 52].iter().all(|place| text[*place] == b'-');
    let ends = match version {
        b"00" => text.len() == 55,
        b"ff" => false,
        _ => text.len() == 55 || text[55] == b'-',
    };
    let reads = dashes && ends && parts.iter().all(|part| is_hex(part));
    if !reads || is_zero(trace) || is_zero(parent) {
        return None;
    }
    let span = u64::from_str_radix(std::str::from_utf8(parent).ok()?, 16).ok()?;
    Some((trace.try_into().ok()?, span, flags.try_into().ok()?))
}

tokio::task_local! {
    static CURRENT: Option<TraceContext>;
}

/// The place in a trace of what is done here, if it has one.
pub fn current() -> Option<TraceContext> {
    CURRENT.try_with(Clone::clone).ok().flatten()
}

/// Works at this place in a trace, or at the present one without it. No `async fn`: that would keep
/// the work twice, and a call's work is large.
pub fn within<F: Future>(place: Option<TraceContext>, work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(place.or_else(current), work)
}

/// The traces of the orders of late.
pub struct TraceBook(quick_cache::sync::Cache<OrderId, TraceContext>);

impl Default for TraceBook {
    fn default() -> Self {
        Self(quick_cache::sync::Cache::new(ORDERS_MAX))
    }
}

impl fmt::Debug for TraceBook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("TraceBook").field(&self.0.len()).finish()
    }
}

impl TraceBook {
    /// Remembers which trace an order belongs to.
    pub fn keep(&self, order: OrderId, trace: TraceContext) {
        self.0.insert(order, trace);
    }

    /// Where this order belongs, if it is known.
    pub fn of(&self, order: OrderId) -> Option<TraceContext> {
        self.0.get(&order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn context(parents: &[&str]) -> Option<TraceContext> {
        let mut headers = HeaderMap::new();
        for parent in parents {
            headers.append(TRACEPARENT, parent.parse().expect("a header"));
        }
        headers.append(TRACESTATE, "congo=t61rcWkgMzE".parse().expect("a header"));
        TraceContext::of(&headers, 0xb7ad_6b71_6920_3331)
    }

    #[test]
    fn a_trace_goes_on_below_a_span_of_ours() {
        let ours = "00-4bf92f3577b34da6a3ce929d0e0e4736-b7ad6b7169203331-01";
        let headers = context(&[PARENT]).expect("a trace").headers();
        let text = |(name, value): &(HeaderName, String)| format!("{name}: {value}");
        let told: Vec<String> = headers.iter().map(text).collect();
        assert_eq!(told, [format!("traceparent: {ours}"), "tracestate: congo=t61rcWkgMzE".into()]);
        // A later version says more, which is not ours to pass on.
        assert!(context(&["cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x"]).is_some());
    }

    #[test]
    fn what_does_not_read_is_no_trace() {
        let wrong = [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
        ];
        for text in wrong {
            assert_eq!(context(&[text]), None, "{text}");
        }
        assert_eq!(context(&[PARENT, PARENT]), None, "two parents are none");
    }
}
