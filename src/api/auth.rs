//! Who is calling, what they may do, and how often.
//!
//! A caller shows a bearer key; only its SHA-256 is known here. The table of callers is found by
//! that digest, so the time of a look-up tells nothing of any key. Keys are swapped whole, and a
//! caller that stays keeps the rest of its rate. Who is refused is counted, and told in the log
//! with address, route and cause: never the key, and never a path, which may hold a card number
//! (I-11).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use axum::extract::{FromRequestParts, MatchedPath};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::header;
use http::request::Parts;

use crate::api::ApiState;
use crate::api::call;
use crate::api::error::{ApiError, ProblemCode};
use crate::clock::stopwatch;
use crate::codec::sign::{HmacKey, equal_in_constant_time, hex_lower};
use crate::config::checked::{Caller, Role};
use crate::domain::approval::OperatorKey;
use crate::domain::ids::CallerId;
use crate::domain::order::Order;
use crate::telemetry::bound::LineBound;
use crate::telemetry::{RefusalCause, count_refused_caller};

/// The far end of a connection.
#[derive(Debug)]
pub struct Peer {
    pub address: IpAddr,
    /// SHA-256 of the public key (DER SubjectPublicKeyInfo) of the certificate that it has shown.
    pub certificate_key: Option<[u8; 32]>,
}

/// The SHA-256 of a caller's key. A request that carries one, put there by whoever has admitted its
/// caller before, needs no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    pub fn of(key: &str) -> Self {
        let digest = digest::digest(&digest::SHA256, key.as_bytes());
        Self(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// What shows, without the key, that it was right in a browser, which this text names.
    pub fn browser_tag(&self, browser: &str) -> [u8; 32] {
        HmacKey::new(&self.0).tag(&[b"switchyard console browser ", browser.as_bytes()])
    }
}

/// What tries are counted by: an IPv4 address, or the network of an IPv6 one (RFC 4291, 2.5.4: the
/// first 64 bits), in which one machine may take any address.
pub fn address_block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !0 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// The time that a key has been known: one, until a reload leaves the key out. A key that comes
/// back begins another one.
#[derive(Debug, Clone, Default)]
pub struct KeyTenure(Arc<()>);

impl PartialEq for KeyTenure {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A caller, with the rest of its rate.
pub struct Seat {
    name: CallerId,
    person: CallerId,
    roles: Vec<Role>,
    /// One of them is to be shown as well; empty: none is.
    certificate_keys: Vec<[u8; 32]>,
    rate: Arc<DefaultDirectRateLimiter>,
    tenure: KeyTenure,
}

impl Seat {
    /// That of its key.
    pub fn tenure(&self) -> &KeyTenure {
        &self.tenure
    }

    pub fn name(&self) -> &CallerId {
        &self.name
    }

    /// The key's name, with the person that it belongs to.
    pub fn operator(&self) -> OperatorKey {
        OperatorKey { name: self.name.clone(), person: self.person.clone() }
    }

    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// What is wrong with the certificate that its caller has shown, if it is bound to one.
    fn lacks_certificate(&self, peer: &Peer) -> Option<(RefusalCause, &'static str)> {
        match peer.certificate_key {
            _ if self.certificate_keys.is_empty() => None,
            Some(key) if self.certificate_keys.contains(&key) => None,
            Some(_) => Some((RefusalCause::OtherCertificate, "another certificate was shown")),
            None => Some((RefusalCause::NoCertificate, "no certificate was shown")),
        }
    }

    /// Whether it sees what others have asked for.
    pub fn may_see_all(&self) -> bool {
        self.has(Role::Operator) || self.has(Role::Auditor)
    }

    /// Whether what a caller has asked for is its own: only that can it change.
    pub fn asked_of_own(&self, caller: &CallerId) -> bool {
        *caller == self.name
    }

    /// Whether what a caller has asked for is shown to this one: its own, or anybody's to operators
    /// and auditors. Another one's does not exist for it.
    pub fn may_see_of(&self, caller: &CallerId) -> bool {
        self.asked_of_own(caller) || self.may_see_all()
    }

    /// Whose rows are all that it sees of a listing; `None` where it sees everybody's.
    pub fn sees_only(&self) -> Option<&CallerId> {
        (!self.may_see_all()).then_some(&self.name)
    }

    /// Whose ids a question is about: those of the caller that it names, else its own.
    pub fn asks_of(&self, named: Option<CallerId>) -> CallerId {
        named.unwrap_or_else(|| self.name.clone())
    }

    /// Whether it has sent the order itself.
    pub fn owns(&self, order: &Order) -> bool {
        self.asked_of_own(&order.instruction.caller)
    }

    /// Whether an order is shown to this caller.
    pub fn may_see(&self, order: &Order) -> bool {
        self.may_see_of(&order.instruction.caller)
    }
}

type Seats = HashMap<[u8; 32], Arc<Seat>>;

/// All callers, by the digest of their key.
pub struct Callers {
    seats: ArcSwap<Seats>,
    quota: Quota,
    /// A flood of one cause hides none of another.
    told: [LineBound; RefusalCause::ALL.len()],
}

impl Callers {
    pub fn new(callers: &[Caller], requests_per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        let quota = Quota::per_second(requests_per_second).allow_burst(burst);
        let seats = ArcSwap::from_pointee(Seats::new());
        let all = Self { seats, quota, told: Default::default() };
        all.replace(callers);
        all
    }

    /// Whoever has this key now.
    pub fn seat(&self, KeyDigest(digest): &KeyDigest) -> Option<Arc<Seat>> {
        self.seats.load().get(digest).map(Arc::clone)
    }

    /// Whether one of the keys has made this tag, in hexadecimal digits, of a browser.
    pub fn have_tagged(&self, browser: &str, tag: &str) -> bool {
        let seats = self.seats.load();
        let mut tags = seats.keys().map(|digest| KeyDigest(*digest).browser_tag(browser));
        tags.any(|made| equal_in_constant_time(hex_lower(&made).as_bytes(), tag.as_bytes()))
    }

    /// The names of all callers, sorted.
    pub fn names(&self) -> Vec<CallerId> {
        let mut names: Vec<_> = self.seats.load().values().map(|seat| seat.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Takes another set of callers. Keys that are not in it are refused from now on.
    pub fn replace(&self, callers: &[Caller]) {
        let before = self.seats.load();
        let rate = |name: &CallerId| {
            let known = before.values().find(|seat| seat.name == *name);
            let fresh = || Arc::new(RateLimiter::direct(self.quota));
            known.map_or_else(fresh, |seat| Arc::clone(&seat.rate))
        };
        let seat = |caller: &Caller| Seat {
            name: caller.name.clone(),
            person: caller.person.clone(),
            roles: caller.roles.clone(),
            certificate_keys: caller.certificate_keys_sha256.clone(),
            rate: rate(&caller.name),
            tenure: before
                .get(&caller.key_sha256)
                .map_or_else(KeyTenure::default, |seat| seat.tenure.clone()),
        };
        let after = callers.iter().map(|caller| (caller.key_sha256, Arc::new(seat(caller))));
        self.seats.store(Arc::new(after.collect()));
    }

    /// The caller of a request: its key known, its certificate shown if it is bound to one, its
    /// rate not exceeded, one of these roles its own.
    fn admit(
        &self,
        parts: &Parts,
        (peer, route): (&Peer, &str),
        roles: &[Role],
    ) -> Result<Arc<Seat>, ApiError> {
        let refuse = |cause: RefusalCause, seat: Option<&Seat>, problem| {
            self.tell(cause, (peer, route), seat);
            Err(problem)
        };
        let unauthorized = |detail| ApiError::new(ProblemCode::Unauthorized, detail);
        let admitted_before = parts.extensions.get::<KeyDigest>().copied();
        let Some(KeyDigest(found)) = admitted_before.or_else(|| bearer(parts).map(KeyDigest::of))
        else {
            return refuse(RefusalCause::NoKey, None, unauthorized("no bearer key was given"));
        };
        let seats = self.seats.load();
        let Some(seat) = seats.get(&found) else {
            return refuse(RefusalCause::UnknownKey, None, unauthorized("the key is not known"));
        };
        call::has_caller(&seat.name);
        // Before the rate, which a stolen key alone must not use up.
        if let Some((cause, detail)) = seat.lacks_certificate(peer) {
            let problem = ApiError::new(ProblemCode::CertificateRequired, detail);
            return refuse(cause, Some(seat), problem);
        }
        if let Err(not_until) = seat.rate.check() {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            let seconds = u64::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX);
            let detail = "the call was not carried out; send fewer";
            let problem = ApiError::new(ProblemCode::TooManyRequests, detail).retry_after(seconds);
            return refuse(RefusalCause::Rate, Some(seat), problem);
        }
        if !roles.iter().any(|role| seat.has(*role)) {
            let needed: Vec<_> = roles.iter().map(|role| role.name()).collect();
            let detail = format!("this needs a role of: {}", needed.join(", "));
            let problem = ApiError::new(ProblemCode::Forbidden, detail);
            return refuse(RefusalCause::Role, Some(seat), problem);
        }
        Ok(Arc::clone(seat))
    }

    /// Whoever signs in with this key to look at everything, as any request of theirs is admitted.
    /// The digest stands for the key from then on, until its tenure ends.
    pub fn sign_in(
        &self,
        key: &str,
        (peer, route): (&Peer, &str),
    ) -> Result<(KeyDigest, KeyTenure), ApiError> {
        let digest = KeyDigest::of(key.trim());
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.extensions.insert(digest);
        let seat = self.admit(&parts, (peer, route), MAY_INSPECT)?;
        Ok((digest, seat.tenure.clone()))
    }

    /// Counts a refused call, and logs it as often as the log can bear.
    fn tell(&self, cause: RefusalCause, (peer, route): (&Peer, &str), seat: Option<&Seat>) {
        count_refused_caller(cause);
        if let Some(left_out) = self.told[cause as usize].turn(stopwatch()) {
            let caller = seat.map(|seat| seat.name.as_str());
            tracing::warn!(
                cause = cause.name(), address = %peer.address, route, caller, left_out,
                "a caller was refused"
            );
        }
    }
}

/// The key of `Authorization: Bearer <key>`.
fn bearer(parts: &Parts) -> Option<&str> {
    let text = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = text.split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then_some(key)
}

/// Who may send orders.
pub const MAY_SEND: &[Role] = &[Role::Core, Role::Operator];
/// Who may pay money out: nobody but the core, which alone knows whom it owes. No operator needs
/// to, and a request for a second person could keep neither card nor account.
pub const MAY_PAY_OUT: &[Role] = &[Role::Core];
/// Who may read what belongs to it.
pub const MAY_ASK: &[Role] = &[Role::Core, Role::Operator, Role::Auditor];
/// Who may read everything.
pub const MAY_INSPECT: &[Role] = &[Role::Operator, Role::Auditor];
/// Who may change how the gateway works, and end unknowns.
pub const MAY_OPERATE: &[Role] = &[Role::Operator];

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident: $roles:ident;)*) => {$(
        $(#[$doc])*
        pub struct $name(pub Arc<Seat>);

        impl $name {
            /// Whoever makes this call of a route, if it may.
            pub(super) fn admit(
                state: &ApiState,
                parts: &Parts,
                (peer, route): (&Peer, &str),
            ) -> Result<Self, ApiError> {
                state.callers.admit(parts, (peer, route), $roles).map(Self)
            }
        }

        impl FromRequestParts<Arc<ApiState>> for $name {
            type Rejection = ApiError;

            async fn from_request_parts(
                parts: &mut Parts,
                state: &Arc<ApiState>,
            ) -> Result<Self, ApiError> {
                let peer = parts.extensions.get::<Arc<Peer>>().expect("the server names it");
                let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
                Self::admit(state, parts, (peer, route))
            }
        }
    )*};
}

permissions! {
    /// A caller that may send orders.
    MaySend: MAY_SEND;
    /// A caller that may pay money out.
    MayPayOut: MAY_PAY_OUT;
    /// A caller that may read what belongs to it; see [`Seat::may_see`].
    MayAsk: MAY_ASK;
    /// A caller that may read everything.
    MayInspect: MAY_INSPECT;
    /// A caller that may change how the gateway works, and end unknowns.
    MayOperate: MAY_OPERATE;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(authorization: Option<&str>) -> Parts {
        let mut request = http::Request::builder();
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn caller(name: &str, key: &str) -> Caller {
        let found = digest::digest(&digest::SHA256, key.as_bytes());
        let key_sha256 = found.as_ref().try_into().expect("32 bytes");
        let name = CallerId::parse(name).expect("a name");
        let person = name.clone();
        Caller {
            name,
            person,
            roles: vec![Role::Core],
            key_sha256,
            certificate_keys_sha256: Vec::new(),
        }
    }

    fn code(callers: &Callers, authorization: Option<&str>) -> Option<ProblemCode> {
        let address = std::net::Ipv4Addr::LOCALHOST.into();
        let peer = Peer { address, certificate_key: None };
        let admitted = callers.admit(&parts(authorization), (&peer, "/v1"), &[Role::Core]);
        admitted.err().map(|error| error.code())
    }

    #[test]
    fn a_key_is_known_or_nobody_calls() {
        let one = NonZeroU32::new(1_000).expect("not zero");
        let callers = Callers::new(&[caller("core", "sesame")], one, one);
        assert_eq!(code(&callers, Some("Bearer sesame")), None);
        assert_eq!(code(&callers, Some("bearer  sesame ")), None);
        for wrong in [None, Some("Bearer"), Some("Bearer "), Some("Basic sesame"), Some("Bearer x")]
        {
            assert_eq!(code(&callers, wrong), Some(ProblemCode::Unauthorized), "{wrong:?}");
        }
        callers.replace(&[caller("core", "new")]);
        assert_eq!(code(&callers, Some("Bearer sesame")), Some(ProblemCode::Unauthorized));
        assert_eq!(code(&callers, Some("Bearer new")), None);
    }

    #[test]
    fn tries_are_counted_by_networks_of_ipv6_and_addresses_of_ipv4() {
        for (address, block) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff::", "2001:db8:1:2::"),
            ("2001:db8:1:3::1", "2001:db8:1:3::"),
            ("::1", "::"),
        ] {
            let [address, block] = [address, block].map(|text| text.parse().expect("an address"));
            assert_eq!(address_block(address), block);
        }
    }

    #[test]
    fn a_new_key_does_not_refill_the_rate() {
        let one = NonZeroU32::MIN;
        let callers = Callers::new(&[caller("core", "old")], one, one);
        assert_eq!(code(&callers, Some("Bearer old")), None);
        callers.replace(&[caller("core", "new"), caller("other", "else")]);
        assert_eq!(code(&callers, Some("Bearer new")), Some(ProblemCode::TooManyRequests));
        assert_eq!(code(&callers, Some("Bearer else")), None);
    }
}
