//! The channels of this installation: their files, adapters, transports and limits, by id.
//!
//! A reload reads every file anew; with any mistake the running channels stay as they are. Every
//! key of a file is in force afterwards, and what a channel has learnt about itself (breaker,
//! success rates, requests in flight, volume of the day) is kept whatever has changed. A request
//! under way ends on the connection that it began on; an order keeps its terms (see `history`). A
//! channel that runs does not vanish by a reload: its file may go when it is closed and the process
//! starts anew.

mod changes;
mod connection;
mod history;
mod read;
mod recall;
mod runtime;
mod limits;
mod shared;
mod source;
mod spans;
mod status;
mod switches;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use crate::channel::certificates::CertificateTerm;
use crate::channel::file::ChannelFile;
use crate::channel::registry::connection::{AdapterLine, Connection};
use crate::channel::registry::history::TermsHistory;
use crate::channel::shares::ChannelShares;
use crate::channel::statement::{StatementLink, StatementTerms};
use crate::channel::transport::pace::Pace;
use crate::channel::transport::tcp::{LATE_MAX, LateReply, LinkContext, SharedKeys};
use crate::channel::{
    ChannelFuture, ChannelRequest, Channels, Notice, NoticeRefusal, ReplyMeaning, WireNotice,
    WireReply,
};
use crate::clock::{Timekeeper, stopwatch};
use crate::config::mistake::{Mistake, Mistakes};
use crate::domain::attempt::{Attempt, VolumeKind};
use crate::domain::cluster::NodePart;
use crate::domain::ids::ChannelId;
use crate::domain::money::AmountMinor;
use crate::domain::order::Order;
use crate::domain::outcome::{NotSentCause, Outcome};
use crate::domain::route::channel::ChannelProfile;
use crate::domain::route::health::HealthMark;
use crate::domain::route::rates::{Sample, Situation};
use crate::domain::terms::{CommonTerms, Terms};
use crate::domain::time::Timestamp;

pub use limits::SwitchError;
pub use read::check_file;
use read::read_channel;
use runtime::Runtime;
pub use shared::ChannelVersion;
pub use source::ChannelTexts;
use source::{ChannelText, of_versions, read_folder};
pub use status::ChannelStatus;
pub use switches::{BadSwitches, Switches};

/// One channel as it was loaded.
#[derive(Clone)]
struct LoadedChannel {
    file: Arc<ChannelFile>,
    /// The file as it was read.
    text: Arc<str>,
    terms: Arc<Terms>,
    profile: ChannelProfile,
    /// `None` while it is contracted or closed.
    connection: Option<Arc<Connection>>,
    pace: Arc<Pace>,
    runtime: Arc<Runtime>,
}

type Channelset = BTreeMap<ChannelId, Arc<LoadedChannel>>;

/// Every mistake of channel files that were read.
pub type FileMistakes = Vec<Mistake>;

/// Channels that were read, and are not in force yet.
pub struct ReadChannels {
    channels: Channelset,
    /// The files are this process's own: no other node runs them.
    are_own: bool,
}

impl ReadChannels {
    pub fn ids(&self) -> Vec<ChannelId> {
        self.channels.keys().cloned().collect()
    }

    /// Every channel's profile, by id, with its switch as on.
    pub fn profiles(&self) -> Vec<ChannelProfile> {
        self.channels.values().map(|loaded| loaded.file.profile(true)).collect()
    }

    /// The whole text of each file, by id.
    pub fn texts(&self) -> impl Iterator<Item = (&ChannelId, &str)> {
        self.channels.iter().map(|(id, loaded)| (id, &*loaded.text))
    }
}

/// All channels, swapped whole at a reload.
pub struct Registry {
    folder: PathBuf,
    routes_file: PathBuf,
    common: CommonTerms,
    clock: Timekeeper,
    switches: Switches,
    history: TermsHistory,
    /// The loaded channels will run, and their orders keep their terms.
    keeps_history: bool,
    /// What all nodes of a store run; `None` where the folder's files are this process's own.
    shared: Mutex<Option<ChannelTexts>>,
    channels: ArcSwap<Channelset>,
    /// One change at a time: a switch that is thrown during a reload holds after it. It has this
    /// node's part of the channels' pace, where nodes share them.
    changing: Mutex<Option<NodePart>>,
    /// One reload at a time, from its reading on: what was read earlier is never in force later.
    reloading: Mutex<()>,
    /// What this process shares with other nodes, where several have the books.
    shares: OnceLock<Arc<dyn ChannelShares>>,
    late: mpsc::Sender<LateReply>,
    /// The keys of links' sign-ons, where several nodes share a store.
    link_keys: Arc<OnceLock<Arc<dyn SharedKeys>>>,
    late_replies: Mutex<Option<mpsc::Receiver<LateReply>>>,
}

impl Registry {
    /// Loads every channel file of a folder. `routes_file` may lie in it and is passed over;
    /// switches that operators have thrown are kept below `data`.
    pub fn load(
        folder: &Path,
        routes_file: &Path,
        data: &Path,
        common: CommonTerms,
        clock: impl Into<Timekeeper>,
    ) -> Result<Self, Vec<Mistake>> {
        let registry = Self::unread(folder, routes_file, data, common, clock)?;
        registry.reload()?;
        Ok(registry)
    }

    /// The same for whoever only looks: nothing is kept of it, since no order runs under it.
    pub fn view(
        folder: &Path,
        routes_file: &Path,
        data: &Path,
        common: CommonTerms,
        clock: impl Into<Timekeeper>,
    ) -> Result<Self, Vec<Mistake>> {
        let unread = Self::unread(folder, routes_file, data, common, clock)?;
        let registry = Self { keeps_history: false, ..unread };
        registry.reload()?;
        Ok(registry)
    }

    fn unread(
        folder: &Path,
        routes_file: &Path,
        data: &Path,
        common: CommonTerms,
        clock: impl Into<Timekeeper>,
    ) -> Result<Self, Vec<Mistake>> {
        let switches = Switches::load(data).map_err(|problem| {
            let advice = "mend or remove the file; removing it switches every channel on";
            vec![Mistake::new(&problem.file, problem.line, "", &problem.text, advice)]
        })?;
        let history = TermsHistory::load(data, &common).map_err(|error| {
            let problem = format!("the terms agreed earlier cannot be read: {error}");
            vec![Mistake::new(&data.display().to_string(), 0, "", &problem, "check its rights")]
        })?;
        let (late, late_replies) = mpsc::channel(LATE_MAX);
        Ok(Self {
            folder: folder.to_owned(),
            routes_file: routes_file.to_owned(),
            common,
            clock: clock.into(),
            switches,
            history,
            keeps_history: true,
            shared: Mutex::default(),
            channels: ArcSwap::from_pointee(BTreeMap::new()),
            changing: Mutex::default(),
            reloading: Mutex::default(),
            shares: OnceLock::new(),
            late,
            link_keys: Arc::default(),
            late_replies: Mutex::new(Some(late_replies)),
        })
    }

    /// Reads every file anew, or leaves everything as it is and says every mistake. Where nodes
    /// share their files, those of the store are read again, with the credentials of this machine.
    pub fn reload(&self) -> Result<usize, FileMistakes> {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        self.read_again().and_then(|read| self.put_in_force(read))
    }

    /// The same without putting them in force, for a caller that has this process's own files
    /// reloaded and nobody beside it.
    pub fn read_again(&self) -> Result<ReadChannels, FileMistakes> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let channels = match &shared {
            Some(texts) => self.read(|mistakes| of_versions(texts, mistakes))?,
            None => self.read(|mistakes| read_folder(&self.folder, &self.routes_file, mistakes))?,
        };
        Ok(ReadChannels { channels, are_own: shared.is_none() })
    }

    /// Puts channels that were read in force, with the switches as they are by now.
    pub fn put_in_force(&self, read: ReadChannels) -> Result<usize, FileMistakes> {
        let ReadChannels { channels: mut after, are_own } = read;
        let part = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.keeps_history && are_own {
            self.keep_history(&after)?;
        }
        let count = after.len();
        let now = self.clock.now();
        for (id, loaded) in &mut after {
            let is_on = self.switches.is_on(id);
            if loaded.profile.enabled != is_on {
                Arc::make_mut(loaded).profile.enabled = is_on;
            }
            changes::standing(id, is_on, loaded.runtime.breaker.is_open(now));
            loaded.pace.enforce(*part);
        }
        self.channels.store(Arc::new(after));
        Ok(count)
    }

    /// The channels as these texts have them, or every mistake in them. Nothing changes yet.
    fn read(
        &self,
        texts: impl FnOnce(&Mistakes) -> Vec<ChannelText>,
    ) -> Result<Channelset, Vec<Mistake>> {
        let before = self.channels.load_full();
        let mistakes = Mistakes::new();
        let mut after = BTreeMap::new();
        for found in texts(&mistakes) {
            if let Some(loaded) = self.load_one(&found, before.get(&found.id), &mistakes) {
                after.insert(found.id, Arc::new(loaded));
            }
        }
        mistakes.into_result()?;
        missing(before.keys(), &after, &self.folder, "runs").into_result()?;
        Ok(after)
    }

    /// Keeps what is about to run, before it runs.
    fn keep_history(&self, channels: &Channelset) -> Result<(), Vec<Mistake>> {
        let running = channels.iter().map(|(id, loaded)| (id, &*loaded.text, &loaded.terms));
        self.history.keep(running, self.clock.effective_from()).map_err(|(id, error)| {
            let problem = format!("this version cannot be kept for its orders: {error}");
            let advice = "check the data folder's rights and room";
            vec![Mistake::new(&format!("{id}.toml"), 0, "", &problem, advice)]
        })
    }

    /// The mistakes where channels with open orders have no file.
    pub fn missing_files(&self, in_use: &BTreeSet<ChannelId>) -> Result<(), Vec<Mistake>> {
        missing(in_use.iter(), &self.channels.load(), &self.folder, "has open orders").into_result()
    }

    fn load_one(
        &self,
        found: &ChannelText,
        before: Option<&Arc<LoadedChannel>>,
        mistakes: &Mistakes,
    ) -> Option<LoadedChannel> {
        let id = &found.id;
        let (late, clock) = (self.late.clone(), self.clock.clone());
        let keys = Arc::clone(&self.link_keys);
        let links = LinkContext { channel: id.clone(), late, clock, keys };
        let (file, connection) =
            read_channel(&found.document, &self.common, &self.folder, mistakes, links)?;
        let now = self.clock.now();
        let (pace, runtime) = match before {
            Some(before) => (before.pace.under(file.pace), Arc::clone(&before.runtime)),
            None => {
                (Pace::new(file.pace), Arc::new(Runtime::new(id.clone(), self.common.rates, now)))
            }
        };
        let terms = Arc::new(file.terms.clone());
        let profile = file.profile(self.switches.is_on(id));
        Some(LoadedChannel {
            file: Arc::new(file),
            text: found.text.as_str().into(),
            terms,
            profile,
            connection: connection.map(Arc::new),
            pace: Arc::new(pace),
            runtime,
        })
    }

    /// Switches a channel on or off, durably. `Ok(false)` if there is no such channel.
    pub fn set_enabled(&self, id: &ChannelId, enabled: bool) -> std::io::Result<bool> {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.channels.load().contains_key(id) {
            return Ok(false);
        }
        self.switches.set(id, enabled)?;
        self.throw_switches();
        Ok(true)
    }

    /// Puts the switches in force as they are. The caller holds `changing`.
    fn throw_switches(&self) {
        let mut after = (*self.channels.load_full()).clone();
        for (id, loaded) in &mut after {
            let is_on = self.switches.is_on(id);
            if loaded.profile.enabled != is_on {
                changes::switch(id, loaded.profile.enabled, is_on);
                Arc::make_mut(loaded).profile.enabled = is_on;
            }
        }
        self.channels.store(Arc::new(after));
    }

    /// Verifies and reads a notice; `None` if there is no such channel, or it is not connected.
    pub fn decode_notice(
        &self,
        id: &ChannelId,
        notice: &WireNotice,
    ) -> Option<Result<Notice, NoticeRefusal>> {
        let loaded = self.channels.load().get(id).cloned()?;
        let Some(adapter) = loaded.connection.as_ref()?.spoken.http_adapter() else {
            return Some(Err(NoticeRefusal::Unsupported));
        };
        let decoded = adapter.decode_notice(notice, self.clock.now());
        let objections = &loaded.runtime.notice_objections;
        match &decoded {
            Ok(Notice { understood: ReplyMeaning { objection: Some(objection), .. }, .. }) => {
                objections.warn(id, "a notice", objection.as_str());
            }
            Err(refusal @ (NoticeRefusal::BadSignature(_) | NoticeRefusal::Unreadable(_))) => {
                objections.warn(id, "a notice", &refusal.to_string());
            }
            Ok(_) | Err(NoticeRefusal::Unsupported | NoticeRefusal::UnknownOrder) => {}
        }
        Some(decoded)
    }

    /// Every certificate of every connected channel, ours and theirs, as far as they are known now.
    pub fn certificates(&self) -> Vec<(ChannelId, Vec<CertificateTerm>)> {
        let channels = self.channels.load();
        let connected = channels.iter().filter_map(|(id, loaded)| {
            let connection = loaded.connection.as_ref()?;
            Some((id.clone(), connection.certificates()))
        });
        connected.collect()
    }

    /// Where replies come out that a link brought after their requests had been given up; once.
    pub fn take_late_replies(&self) -> Option<mpsc::Receiver<LateReply>> {
        self.late_replies.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Verifies and reads one of them, as its notice; `None` if the channel has no links any more.
    pub fn decode_late_reply(&self, late: &LateReply) -> Option<ReplyMeaning> {
        let loaded = self.channels.load().get(&late.channel).cloned()?;
        match &loaded.connection.as_ref()?.spoken {
            AdapterLine::Http { .. } => None,
            AdapterLine::Links { adapter, .. } => {
                let understood = adapter.decode_frame(&late.asked, &late.frame, self.clock.now());
                warn_of(&loaded, "a late reply", &understood);
                Some(understood)
            }
        }
    }

    /// The answer that a channel expects to its notice.
    pub fn answer_notice(&self, id: &ChannelId, taken: bool) -> Option<WireReply> {
        let loaded = self.channels.load().get(id).cloned()?;
        Some(loaded.connection.as_ref()?.spoken.http_adapter()?.answer_notice(taken))
    }

    /// The link that asks a channel for its statements; `None` where they are not downloaded.
    pub fn statement_link(&self, id: &ChannelId) -> Option<Arc<StatementLink>> {
        let loaded = self.channels.load().get(id).cloned()?;
        loaded.connection.as_ref()?.statements.clone()
    }

    /// When a channel's statements come and how they are read, downloaded or not; `None` where its
    /// file says nothing of them.
    pub fn statement_terms(&self, id: &ChannelId) -> Option<StatementTerms> {
        self.channels.load().get(id)?.file.statement.clone()
    }

    async fn ask(&self, loaded: &LoadedChannel, request: &ChannelRequest) -> ReplyMeaning {
        let now = self.clock.now();
        let Some(connection) = &loaded.connection else {
            return not_sent(NotSentCause::Disabled);
        };
        if self.comes_too_late(loaded, request) {
            return not_sent(NotSentCause::TooLate);
        }
        let begins = match request {
            ChannelRequest::Charge { .. } => true,
            ChannelRequest::Service { facts, .. } => !facts.service.is_inquiry(),
            ChannelRequest::FollowUp { .. }
            | ChannelRequest::Inquiry { .. }
            | ChannelRequest::Reversal { .. } => false,
        };
        if begins && !loaded.profile.enabled {
            return not_sent(NotSentCause::Disabled);
        }
        // Only what begins is kept away from a failing channel: inquiries are how we learn.
        if begins && !self.is_admitted(loaded, now).await {
            return not_sent(NotSentCause::BreakerOpen);
        }
        let Some(_turn) = loaded.pace.turn().await else {
            return not_sent(NotSentCause::NoRateLeft);
        };
        if connection.spoken.asks_twice(request) && !loaded.pace.again().await {
            return not_sent(NotSentCause::NoRateLeft);
        }
        // Taken before it is sent, so that no two take the same rest. What comes of it is given
        // back by whoever learns that no money moved.
        let (stated, calendar) = (request.stated(), &loaded.terms.calendar);
        let minor = stated.money.map_or(0, |(amount, _)| amount.get());
        let dates = self.clock.present().dates(calendar, stated.sent_at);
        let volume = match request {
            ChannelRequest::Charge { facts, .. } => VolumeKind::of(facts.operation),
            _ => None,
        };
        if let Some(kind) = volume {
            match self.takes_volume(loaded, kind, dates, minor).await {
                Ok(true) => {}
                Ok(false) => return not_sent(NotSentCause::DailyLimit),
                Err(error) => {
                    tracing::warn!(channel.name = %loaded.file.id, %error, "an order is not sent");
                    return not_sent(NotSentCause::NoRateLeft);
                }
            }
        }
        let understood = self.carry(loaded, connection, request).await;
        if let Some(kind) = volume
            && matches!(understood.outcome, Outcome::NotSent(_))
        {
            self.gives_back(loaded, kind, dates, minor);
        }
        understood
    }

    /// Whether at least so much time has passed since a request was decided that it must not leave
    /// any more: its commit stood still. An inquiry is always in time.
    fn comes_too_late(&self, loaded: &LoadedChannel, request: &ChannelRequest) -> bool {
        let Some(decided_at) = request.decided_at() else { return false };
        let age = self.clock.present().age(decided_at);
        let is_too_late = age > loaded.terms.sets_out_within;
        if is_too_late {
            let (channel, age_s) = (&loaded.file.id, age.as_secs());
            let what = "a request that stood still before it could leave is too late: not sent";
            tracing::warn!(channel.name = %channel, about = request.name(), age_s, "{what}");
        }
        is_too_late
    }

    async fn carry(
        &self,
        loaded: &LoadedChannel,
        connection: &Connection,
        request: &ChannelRequest,
    ) -> ReplyMeaning {
        match connection.spoken.exchange(request, &self.clock).await {
            Ok(understood) => understood,
            Err(error) => {
                tracing::error!(
                    channel.name = %loaded.file.id, %error,
                    "a request cannot be built; it is not sent"
                );
                not_sent(NotSentCause::NotEncodable)
            }
        }
    }
}

impl Channels for Registry {
    fn ids(&self) -> Vec<ChannelId> {
        self.channels.load().keys().cloned().collect()
    }

    fn terms(&self, channel: &ChannelId) -> Option<Arc<Terms>> {
        self.channels.load().get(channel).map(|loaded| Arc::clone(&loaded.terms))
    }

    fn terms_at(&self, channel: &ChannelId, at: Timestamp) -> Option<Arc<Terms>> {
        self.history.terms_at(channel, at)
    }

    fn longest_wait(&self, channel: &ChannelId) -> Duration {
        self.history.longest_wait(channel)
    }

    fn give_back(&self, attempt: &Attempt, amount: AmountMinor) {
        if let Some(loaded) = self.channels.load().get(&attempt.channel)
            && let Some(kind) = VolumeKind::of(attempt.operation)
        {
            let dates = self.clock.present().dates(&loaded.terms.calendar, attempt.sent_at);
            self.gives_back(loaded, kind, dates, amount.get());
        }
    }

    fn count_sample(&self, order: &Order, attempt: &Attempt) {
        let sample = Sample::of(attempt).zip(Situation::of_order(order));
        if let Some((sample, situation)) = sample
            && let Some(loaded) = self.channels.load().get(&attempt.channel)
        {
            loaded.runtime.rates().count(situation, sample, self.clock.now());
        }
    }

    fn share(&self, part: NodePart) -> bool {
        let mut now = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        *now = Some(part);
        let channels = self.channels.load();
        let above = channels.values().filter(|loaded| !loaded.pace.enforce(*now));
        above.count() == 0
    }

    fn nodes_max(&self, channel: &ChannelId) -> u32 {
        let channels = self.channels.load();
        channels.get(channel).map_or(u32::MAX, |loaded| loaded.pace.terms().nodes_max())
    }

    fn call<'a>(
        &'a self,
        channel: &'a ChannelId,
        request: ChannelRequest,
    ) -> ChannelFuture<'a, ReplyMeaning> {
        Box::pin(async move {
            let Some(loaded) = self.channels.load().get(channel).cloned() else {
                return not_sent(NotSentCause::Disabled);
            };
            let (started, span) = (stopwatch(), spans::open(&self.clock));
            let understood = self.ask(&loaded, &request).await;
            warn_of(&loaded, request.name(), &understood);
            let (mark, now) = (HealthMark::of(&understood.outcome), self.clock.now());
            let change = loaded.runtime.breaker.record(mark, loaded.file.breaker, now);
            changes::breaker(channel, change, &understood.outcome);
            let took = started.elapsed();
            loaded.runtime.traffic.count(mark, now, took);
            loaded.runtime.calls.count(request.name(), &understood.outcome, took);
            spans::end(span, channel, &request, &understood.outcome, took);
            understood
        })
    }
}

/// Names each channel that is needed and has no file.
fn missing<'c>(
    needed: impl Iterator<Item = &'c ChannelId>,
    found: &Channelset,
    folder: &Path,
    why: &str,
) -> Mistakes {
    let mistakes = Mistakes::new();
    for id in needed.filter(|id| !found.contains_key(*id)) {
        let file = folder.join(format!("{id}.toml")).display().to_string();
        let problem = format!("channel `{id}` {why}, and its file is gone");
        let advice = "put the file back under its name; state = \"draining\" takes no new order, \
                      and a file may go when the channel is closed and the process starts anew";
        mistakes.add(Mistake::new(&file, 0, "", &problem, advice));
    }
    mistakes
}

fn not_sent(cause: NotSentCause) -> ReplyMeaning {
    ReplyMeaning::new(Outcome::NotSent(cause), String::new())
}

/// Says in the log why an answer proves nothing. `what` is the request's word.
fn warn_of(loaded: &LoadedChannel, what: &str, understood: &ReplyMeaning) {
    if let Some(objection) = &understood.objection {
        loaded.runtime.answer_objections.warn(&loaded.file.id, what, objection.as_str());
    }
}

#[cfg(test)]
mod tests;
