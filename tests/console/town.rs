//! A daemon with an operator, an auditor and the core, and simulated channels.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use switchyard::app::App;
use switchyard::clock::Clock;
use switchyard::codec::sign::sha256;
use switchyard::config::checked::{Caller, Role, Settings};
use switchyard::domain::ids::CallerId;

use crate::browser::Browser;
use crate::support::core::Core;
use crate::support::installation::{CALLER_KEY, Installation, metrics};

pub const OPERATOR: &str = "sy_the-operator-of-a-test";
pub const AUDITOR: &str = "sy_the-auditor-of-a-test";
pub const CORE: &str = "sy_the-core-of-a-test";

pub struct Town {
    /// It goes with the town.
    _installation: Installation,
    pub app: App,
    ahead_ms: Arc<AtomicI64>,
}

pub fn caller(name: &str, role: Role, key: &str) -> Caller {
    Caller {
        name: CallerId::parse(name).expect("a name"),
        person: CallerId::parse(name).expect("a name"),
        roles: vec![role],
        key_sha256: sha256(key.as_bytes()),
        certificate_keys_sha256: Vec::new(),
    }
}

impl Town {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::around(Installation::new(|settings| settings).await, change).await
    }

    /// A daemon of an installation whose files may have been changed.
    pub async fn around(installation: Installation, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = installation.settings();
        settings.callers.extend([
            caller("olga", Role::Operator, OPERATOR),
            caller("auden", Role::Auditor, AUDITOR),
            caller("till", Role::Core, CORE),
        ]);
        change(&mut settings);
        let ahead_ms = Arc::<AtomicI64>::default();
        let by_ms = Arc::clone(&ahead_ms);
        let clock = Clock::Wrong { of: Box::new(Clock::System), by_ms };
        let app = App::start_by(clock, settings, &installation.data(), metrics()).await;
        let app = app.expect("a daemon");
        installation.door.lead_to(Some(app.address()));
        Self { _installation: installation, app, ahead_ms }
    }

    pub fn browser(&self) -> Browser {
        Browser::new(&format!("http://{}", self.app.address()))
    }

    /// A browser that has signed in with this key.
    pub async fn visitor(&self, key: &str) -> Browser {
        let mut browser = self.browser();
        let signed_in = browser.sign_in(key).await;
        assert_eq!((signed_in.status, signed_in.header("location")), (303, "/console"));
        browser
    }

    pub fn core(&self) -> Core {
        Core::new(self.app.address(), CALLER_KEY)
    }

    /// Moves the daemon's clock.
    pub fn later(&self, by_ms: i64) {
        self.ahead_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}
