//! A browser, driven over WebDriver (W3C) by chromedriver.

use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::Scratch;
use crate::support::wire::{http_client, until};

/// The name that WebDriver gives an element's id.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// How often a picture of a page is tried.
const SHOTS_MAX: u32 = 3;
/// How long a page may take to have what is looked for.
const PATIENCE_MS: u64 = 20_000;

/// How pages are looked at.
pub struct Look {
    pub language: &'static str,
    pub scheme: &'static str,
    pub width: u32,
}

pub struct Browser {
    client: reqwest::Client,
    driver: Child,
    session: String,
    /// So many links, buttons and boxes were clicked.
    pub clicks: u32,
    _profile: Scratch,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _killed = self.driver.kill();
        let _ended = self.driver.wait();
    }
}

impl Browser {
    pub async fn start() -> Self {
        let port = free_port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let (client, base) = (http_client(), format!("http://127.0.0.1:{port}"));
        until("chromedriver is ready", async || {
            let status = client.get(format!("{base}/status")).send().await.ok()?;
            status.status().is_success().then_some(())
        })
        .await;
        let profile = Scratch::new();
        let user_data = format!("--user-data-dir={}", profile.path().display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,900",
            &user_data,
        ];
        let asked = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "timeouts": { "implicit": PATIENCE_MS },
            "goog:chromeOptions": { "args": arguments },
        }}});
        let mut browser = Self { client, driver, session: base, clicks: 0, _profile: profile };
        let begun = browser.call("POST", "/session", &asked).await;
        let id = begun["sessionId"].as_str().expect("a session").to_owned();
        browser.session = format!("{}/session/{id}", browser.session);
        browser
    }

    async fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.try_call(method, path, body).await;
        answer.unwrap_or_else(|problem| panic!("{path} {body}: {problem}"))
    }

    async fn try_call(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let method = method.parse().expect("a method");
        let mut request = self.client.request(method, format!("{}{path}", self.session));
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.expect("chromedriver answers");
        let status = answer.status();
        let text = answer.text().await.expect("a whole body");
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        if status.is_success() {
            Ok(answer["value"].clone())
        } else {
            Err(answer["value"]["message"].to_string())
        }
    }

    pub async fn go(&self, url: &str) {
        self.call("POST", "/url", &json!({ "url": url })).await;
    }

    async fn element(&self, css: &str) -> String {
        let asked = json!({ "using": "css selector", "value": css });
        let found = self.call("POST", "/element", &asked).await;
        format!("/element/{}", found[ELEMENT].as_str().expect("an element"))
    }

    /// Clicks on a link, a button or a box.
    pub async fn click(&mut self, css: &str) {
        let element = self.element(css).await;
        self.call("POST", &format!("{element}/click"), &json!({})).await;
        self.clicks += 1;
    }

    /// Types into a field.
    pub async fn fill(&self, css: &str, text: &str) {
        let element = self.element(css).await;
        self.call("POST", &format!("{element}/clear"), &json!({})).await;
        self.call("POST", &format!("{element}/value"), &json!({ "text": text })).await;
    }

    /// Presses the key Enter in a field.
    pub async fn press_enter(&self, css: &str) {
        let element = self.element(css).await;
        self.call("POST", &format!("{element}/value"), &json!({ "text": "\u{E007}" })).await;
    }

    /// Chooses what begins so from a list, with the keyboard.
    pub async fn choose(&self, css: &str, begins: &str) {
        let element = self.element(css).await;
        self.call("POST", &format!("{element}/value"), &json!({ "text": begins })).await;
    }

    /// Gives a field of a date its value, however the browser's own keys are laid out.
    pub async fn set(&self, css: &str, value: &str) {
        let script = "document.querySelector(arguments[0]).value = arguments[1]";
        let asked = json!({ "script": script, "args": [css, value] });
        self.call("POST", "/execute/sync", &asked).await;
    }

    /// What a person can read on the page.
    pub async fn text(&self) -> Option<String> {
        let script = "return document.querySelector('main').innerText";
        let asked = json!({ "script": script, "args": [] });
        // Between two pages there is none.
        let text = self.try_call("POST", "/execute/sync", &asked).await.ok()?;
        Some(text.as_str()?.replace('\u{a0}', " "))
    }

    async fn develop(&self, command: &str, parameters: Value) -> Value {
        let asked = json!({ "cmd": command, "params": parameters });
        self.call("POST", "/goog/cdp/execute", &asked).await
    }

    /// Looks at pages so from now on.
    pub async fn appear(&self, look: &Look) {
        let scheme = json!([{ "name": "prefers-color-scheme", "value": look.scheme }]);
        self.develop("Emulation.setEmulatedMedia", json!({ "features": scheme })).await;
        let metrics = json!({
            "width": look.width, "height": 900, "deviceScaleFactor": 1, "mobile": look.width < 600
        });
        self.develop("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// The whole page as PNG.
    pub async fn screenshot(&self) -> Vec<u8> {
        let asked = json!({
            "cmd": "Page.captureScreenshot", "params": { "captureBeyondViewport": true }
        });
        let mut tries = 1;
        let shot = loop {
            // A busy browser now and then takes a page that is there for one that is on its way.
            match self.try_call("POST", "/goog/cdp/execute", &asked).await {
                Ok(shot) => break shot,
                Err(problem) => assert!(tries < SHOTS_MAX, "no picture: {problem}"),
            }
            tries += 1;
        };
        let data = shot["data"].as_str().expect("a picture");
        BASE64_STANDARD.decode(data).expect("base64")
    }

    /// The violations that axe-core finds on the page.
    pub async fn accessibility(&self, axe: &str) -> Value {
        let script = format!(
            "{axe}; const done = arguments[0]; axe.run().then(found => done(found.violations.map(\
             one => ({{ id: one.id, impact: one.impact, nodes: one.nodes.map(n => n.html) }}))))"
        );
        self.call("POST", "/execute/async", &json!({ "script": script, "args": [] })).await
    }

    pub async fn quit(self) {
        self.call("DELETE", "", &Value::Null).await;
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
