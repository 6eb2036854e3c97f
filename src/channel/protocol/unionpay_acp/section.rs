//! Reads the section `[unionpay_acp]` of a channel file and builds the adapter from it.
//!
//! Reports every mistake with its line and goes on. Credentials are references that the caller
//! resolves: this file reads no other file and no environment.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::convert::Infallible;

use zeroize::Zeroizing;

use crate::channel::file::codes::CodeMeaning;
use crate::config::credential::CredentialResolver;
use crate::config::section::Section;

use super::UnionPayAcp;
use super::codes::{CodeOverrides, ReversalReply};
use super::settings::{
    AccessType, MerchantSettings, PAYOUT_BIZ_TYPE, REVERSAL_BIZ_TYPE, SigningPem,
    VERIFICATION_BIZ_TYPE, VERIFICATION_SUB_TYPE,
};

const ACCESS_TYPES: [(&str, AccessType); 3] = [
    ("direct", AccessType::Direct),
    ("acquirer", AccessType::Acquirer),
    ("platform", AccessType::Platform),
];
const REVERSAL_REPLIES: [(&str, ReversalReply); 2] =
    [("final", ReversalReply::Final), ("accepted", ReversalReply::Accepted)];
const REFERENCE_ADVICE: &str = "write a reference that can be read: file:… or env:…";

/// Reads the section. `codes` are the channel file's own `[codes]`.
///
/// `None` means that at least one mistake was reported; the caller looks at its mistakes before it
/// uses an adapter, as with every section.
pub fn read(
    section: Section<'_>,
    codes: Vec<(String, CodeMeaning)>,
    resolve: &CredentialResolver<'_>,
) -> Option<UnionPayAcp> {
    let reader = SectionReader { section: &section, resolve, failed: RefCell::default() };
    let settings = reader.settings(codes);
    let failed = reader.failed.into_inner();
    let adapter = match UnionPayAcp::new(settings) {
        Ok(adapter) => Some(adapter),
        Err(problems) => {
            // A key that could not be read has been reported, and is not blamed for being empty.
            for problem in problems.iter().filter(|problem| !failed.contains(problem.key)) {
                match problem.index {
                    Some(index) => {
                        section.mistake_in(problem.key, index, &problem.problem, problem.advice);
                    }
                    None => section.mistake(problem.key, &problem.problem, problem.advice),
                }
            }
            None
        }
    };
    section.finish();
    adapter.filter(|_| failed.is_empty())
}

struct SectionReader<'s, 'a, 'r> {
    section: &'s Section<'a>,
    resolve: &'s CredentialResolver<'r>,
    /// Keys whose reading failed and was reported.
    failed: RefCell<BTreeSet<&'static str>>,
}

impl SectionReader<'_, '_, '_> {
    fn settings(&self, transaction: Vec<(String, CodeMeaning)>) -> MerchantSettings {
        let section = self.section;
        MerchantSettings {
            merchant_id: self.text("merchant_id", "777…"),
            access_type: section.choice_or("access_type", AccessType::Direct, &ACCESS_TYPES),
            biz_type: self.text("biz_type", "000301"),
            token_requestor: section.optional_text("token_requestor"),
            payout_biz_type: section.text_or("payout_biz_type", PAYOUT_BIZ_TYPE),
            reversal_biz_type: section.text_or("reversal_biz_type", REVERSAL_BIZ_TYPE),
            verification_biz_type: section.text_or("verification_biz_type", VERIFICATION_BIZ_TYPE),
            verification_sub_type: section.text_or("verification_sub_type", VERIFICATION_SUB_TYPE),
            channel_type: section.text_or("channel_type", "07"),
            transaction_url: self.text(
                "transaction_url",
                "https://gateway.test.95516.com/gateway/api/backTransReq.do",
            ),
            query_url: self
                .text("query_url", "https://gateway.test.95516.com/gateway/api/queryTrans.do"),
            reversal_url: section.optional_text("reversal_url"),
            statement_url: section.optional_text("statement_url"),
            notice_url: self.text("notice_url", "https://pay.example.com/notices/unionpay"),
            signing: self.signing(),
            encryption: self.encryption(),
            root_certificates: self.credential("root_certificates"),
            intermediate_certificates: self.optional_credential("intermediate_certificates"),
            accepted_signers: section.optional_texts("accepted_signers").unwrap_or_default(),
            production: section.boolean("production"),
            reversal_reply: section.choice_or(
                "reversal_reply",
                ReversalReply::Final,
                &REVERSAL_REPLIES,
            ),
            codes: CodeOverrides {
                transaction,
                undo: self.verdicts("undo_codes"),
                follow_up: self.verdicts("follow_up_codes"),
                reversal: self.verdicts("reversal_codes"),
            },
            fields: self.map("fields"),
            payment_fields: self.map("payment_fields"),
        }
    }

    fn fail(&self, key: &'static str) {
        self.failed.borrow_mut().insert(key);
    }

    fn text(&self, key: &'static str, example: &str) -> String {
        let read = self.section.parsed(key, example, |text| Ok::<_, Infallible>(text.to_owned()));
        read.unwrap_or_else(|| {
            self.fail(key);
            String::new()
        })
    }

    /// The contents of a required credential.
    fn credential(&self, key: &'static str) -> String {
        let reference = self.text(key, "file:keys/….pem");
        if self.failed.borrow().contains(key) {
            return String::new();
        }
        self.resolved(key, &reference)
    }

    fn optional_credential(&self, key: &'static str) -> Option<String> {
        let reference = self.section.optional_text(key);
        if reference.is_none() && self.section.has(key) {
            self.fail(key);
        }
        reference.map(|reference| self.resolved(key, &reference))
    }

    fn resolved(&self, key: &'static str, reference: &str) -> String {
        (self.resolve)(reference).unwrap_or_else(|problem| {
            self.section.mistake(key, &problem, REFERENCE_ADVICE);
            self.fail(key);
            String::new()
        })
    }

    fn signing(&self) -> Vec<SigningPem> {
        const KEY: &str = "signing";
        let mut pems = Vec::new();
        for section in self.section.sections(KEY) {
            let [certificate, key] = ["certificate", "key"].map(|part| {
                let resolved = section
                    .parsed(part, "file:keys/….pem", |text| Ok::<_, Infallible>(text.to_owned()))
                    .map(|reference| (self.resolve)(&reference));
                match resolved {
                    Some(Ok(contents)) => Zeroizing::new(contents),
                    Some(Err(problem)) => {
                        section.mistake(part, &problem, REFERENCE_ADVICE);
                        self.fail(KEY);
                        Zeroizing::default()
                    }
                    None => {
                        self.fail(KEY);
                        Zeroizing::default()
                    }
                }
            });
            pems.push(SigningPem { certificate: certificate.to_string(), key });
            section.finish();
        }
        pems
    }

    fn encryption(&self) -> Vec<String> {
        const KEY: &str = "encryption_certificates";
        let references = self.section.optional_texts(KEY).unwrap_or_default();
        let mut pems = Vec::with_capacity(references.len());
        for (index, reference) in references.iter().enumerate() {
            match (self.resolve)(reference) {
                Ok(pem) => pems.push(pem),
                Err(problem) => {
                    self.section.mistake_in(KEY, index, &problem, REFERENCE_ADVICE);
                    self.fail(KEY);
                }
            }
        }
        pems
    }

    /// A table `code = "verdict"`.
    fn verdicts(&self, key: &'static str) -> Vec<(String, CodeMeaning)> {
        let Some(section) = self.section.optional_section(key) else { return Vec::new() };
        let mut verdicts = Vec::new();
        for (code, _) in section.keys() {
            match section.optional_parsed(code, "declined do_not_honour", CodeMeaning::parse) {
                Some(verdict) => verdicts.push((code.to_owned(), verdict)),
                None => self.fail(key),
            }
        }
        section.finish();
        verdicts
    }

    fn map(&self, key: &'static str) -> Vec<(String, String)> {
        let entries = self.section.map(key);
        entries.into_iter().map(|entry| (entry.key, entry.text)).collect()
    }
}
