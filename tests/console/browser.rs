//! A browser without scripts: it keeps cookies, reads forms, and sends them as they stand.

use std::collections::BTreeMap;

use reqwest::{Method, RequestBuilder};

use crate::support::wire::http_client;

/// What came back.
pub struct Sight {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Sight {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The fields that the form with this action hides.
    pub fn hidden(&self, action: &str) -> BTreeMap<String, String> {
        let all = self.all_hidden(action);
        all.into_iter().next().unwrap_or_else(|| panic!("{action}: no form"))
    }

    /// The same of each form with this action, from the top of the page on.
    pub fn all_hidden(&self, action: &str) -> Vec<BTreeMap<String, String>> {
        let begin = format!("method=\"post\" action=\"{action}\"");
        let attribute = |input: &str, name: &str| {
            let value = input.split_once(&format!("{name}=\"")).expect("an attribute").1;
            value.split('"').next().expect("never empty").to_owned()
        };
        let forms = self.text.split(&begin).skip(1).map(|form| {
            let (form, _) = form.split_once("</form>").expect("a form ends");
            let inputs = form.split("<input type=\"hidden\" ").skip(1);
            inputs.map(|input| (attribute(input, "name"), attribute(input, "value"))).collect()
        });
        forms.collect()
    }
}

pub struct Browser {
    client: reqwest::Client,
    pub base: String,
    pub cookies: BTreeMap<String, String>,
}

impl Browser {
    pub fn new(base: &str) -> Self {
        Self { client: http_client(), base: base.to_owned(), cookies: BTreeMap::new() }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let cookies = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        let cookies: Vec<_> = cookies.collect();
        let request = self.client.request(method, format!("{}{path}", self.base));
        request.header("cookie", cookies.join("; "))
    }

    pub async fn send(&mut self, request: RequestBuilder) -> Sight {
        let answer = request.send().await.expect("the daemon answers");
        for line in answer.headers().get_all("set-cookie") {
            let line = line.to_str().expect("a cookie is text");
            let (name, rest) = line.split_once('=').expect("a cookie has a name");
            let value = rest.split(';').next().expect("never empty");
            if line.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.expect("a whole body");
        // As every browser reads it.
        Sight { status, headers, text: text.replace("&#x2f;", "/") }
    }

    pub async fn get(&mut self, path: &str) -> Sight {
        self.send(self.request(Method::GET, path)).await
    }

    /// Sends a form's fields.
    pub async fn post(&mut self, path: &str, fields: &BTreeMap<String, String>) -> Sight {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(fields);
        let request = self
            .request(Method::POST, path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.finish());
        self.send(request).await
    }

    /// Fills a form of a page in, and sends it.
    pub async fn fill(&mut self, page: &str, action: &str, filled: &[(&str, &str)]) -> Sight {
        let mut fields = self.get(page).await.hidden(action);
        for (name, value) in filled {
            fields.insert((*name).to_owned(), (*value).to_owned());
        }
        self.post(action, &fields).await
    }

    pub async fn sign_in(&mut self, key: &str) -> Sight {
        self.fill("/console/login", "/console/login", &[("key", key)]).await
    }
}
