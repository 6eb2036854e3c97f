//! A channel as routing sees it, and the reasons for which it is struck from a plan.

use std::fmt;
use std::sync::Arc;

use jiff::civil;

use crate::domain::attempt::{Operation, VolumeKind};
use crate::domain::bin::{Brand, CardType};
use crate::domain::card_service::CardService;
use crate::domain::closed_set;
use crate::domain::fee::{Fee, FeeSchedule, FeeSubject};
use crate::domain::ids::ChannelId;
use crate::domain::instrument::InstrumentKind;
use crate::domain::money::Currency;
use crate::domain::order::OrderKind;
use crate::domain::payee_account::AccountKind;
use crate::domain::route::RouteSubject;
use crate::domain::route::hours::Hours;
use crate::domain::route::maintenance::MaintenanceWindow;
use crate::domain::route::rates::FoundRate;
use crate::domain::time::ClearingCalendar;

closed_set! {
    /// How far the business with a channel has come (requirement S38).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum ChannelState {
        /// Signed, not yet connected.
        Contracted => "contracted",
        /// Connected; takes only what a rule sends to it by name.
        Testing => "testing",
        Live => "live",
        /// Takes no new order; its open orders are still inquired, reversed, undone and reconciled.
        Draining => "draining",
        /// Takes no new order and has no open one.
        Closed => "closed",
    }
}

impl ChannelState {
    /// Whether it is asked anything at all, so that its credentials must be there.
    pub const fn is_connected(self) -> bool {
        match self {
            Self::Testing | Self::Live | Self::Draining => true,
            Self::Contracted | Self::Closed => false,
        }
    }

    /// Whether a new order may go there; `by_name` if a rule names the channel.
    pub const fn takes_orders(self, by_name: bool) -> bool {
        match self {
            Self::Live => true,
            Self::Testing => by_name,
            Self::Contracted | Self::Draining | Self::Closed => false,
        }
    }
}

/// The orders that a channel takes, by its file and the operator's switch.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelProfile {
    pub id: ChannelId,
    pub state: ChannelState,
    /// The operator's switch.
    pub enabled: bool,
    /// The operations that it supports.
    pub operations: Vec<Operation>,
    /// The services to a card that it has.
    pub services: Vec<CardService>,
    /// What it takes money by.
    pub instruments: Vec<InstrumentKind>,
    /// What it pays money out to.
    pub payees: Vec<InstrumentKind>,
    /// Of accounts, the kinds that it pays out to.
    pub account_kinds: Vec<AccountKind>,
    /// How the payers' codes begin that it takes; empty means all. What is kept of a code must tell
    /// it: [`crate::domain::payer_code::MaskedCode::BEGINNING`].
    pub code_beginnings: Vec<String>,
    /// Empty means all, cards without a row of the BIN table included.
    pub card_types: Vec<CardType>,
    /// Empty means all, cards without a row of the BIN table included.
    pub brands: Vec<Brand>,
    /// Empty means all.
    pub currencies: Vec<Currency>,
    /// The smallest amount of one order, in minor units.
    pub per_order_min_minor: i64,
    /// The largest amount of one order, in minor units.
    pub per_order_max_minor: i64,
    /// The most that it takes by payments and pre-authorisations in one of its clearing days, in
    /// minor units.
    pub per_day_minor: Option<i64>,
    /// The most that leaves by payouts in one of its clearing days, in minor units.
    pub payouts_per_day_minor: Option<i64>,
    /// When it takes orders, in its clearing time zone; always if absent.
    pub hours: Option<Hours>,
    /// When it takes none although its hours say so.
    pub maintenance: Vec<MaintenanceWindow>,
    pub fees: Arc<FeeSchedule>,
    /// Which clearing date, and so which fee, an order of this moment has.
    pub calendar: ClearingCalendar,
    /// See [`crate::domain::terms::Terms::keeps_pan`].
    pub keeps_pan: bool,
}

impl ChannelProfile {
    /// The limit of its clearing days; `None` if there is none.
    pub const fn limit_of_day(&self, kind: VolumeKind) -> Option<i64> {
        match kind {
            VolumeKind::Charges => self.per_day_minor,
            VolumeKind::Payouts => self.payouts_per_day_minor,
        }
    }

    /// The fee that it charges for an order, on the clearing date of the subject's moment; `None`
    /// of a service, which stands in no schedule.
    pub fn fee_of(&self, subject: &RouteSubject<'_>) -> Option<Fee> {
        let order = subject.order()?;
        Some(self.fees.fee(&FeeSubject {
            card_type: subject.card.and_then(|card| card.card_type),
            category: order.merchant_category,
            amount_minor: order.amount.get(),
            date: self.calendar.date_of(subject.now),
            is_payout: order.kind == OrderKind::Payout,
        }))
    }
}

/// How a channel does at the moment of a plan. Routing takes it as given and measures nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelHealth {
    pub breaker_open: bool,
    /// For orders like the one that is planned.
    pub success_rate: FoundRate,
    /// Whether its pace leaves room for one more request.
    pub rate_left: bool,
    /// The volumes of its current clearing day, by [`VolumeKind`], in minor units; 0 where it has
    /// no limit.
    pub used_today_minor: [i64; VolumeKind::ALL.len()],
}

/// A channel as a plan sees it.
#[derive(Debug, Clone, Copy)]
pub struct Channel<'a> {
    pub profile: &'a ChannelProfile,
    pub health: ChannelHealth,
}

/// Why a channel is not offered an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strike {
    /// A rule names a channel that has no file.
    UnknownChannel,
    /// An operator has switched it off.
    SwitchedOff,
    /// Its state takes no such order.
    Disabled(ChannelState),
    Operation,
    Instrument,
    /// The order names an agreement of another channel.
    Agreement,
    /// The code is another wallet's.
    CodeBeginning,
    /// It does not know payees so.
    AccountKind,
    CardType,
    Brand,
    Currency,
    BelowMinimum {
        minimum_minor: i64,
    },
    AboveMaximum {
        maximum_minor: i64,
    },
    DailyLimit {
        left_minor: i64,
    },
    OutsideHours,
    /// It is closed by date.
    Maintenance {
        /// Until when, in its clearing time zone.
        until: civil::DateTime,
    },
    BreakerOpen,
    NoRateLeft,
}

impl Strike {
    /// The stable word of explanations, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownChannel => "unknown_channel",
            Self::SwitchedOff => "switched_off",
            Self::Disabled(_) => "disabled",
            Self::Operation => "operation",
            Self::Instrument => "instrument",
            Self::Agreement => "agreement",
            Self::CodeBeginning => "code_beginning",
            Self::AccountKind => "account_kind",
            Self::CardType => "card_type",
            Self::Brand => "brand",
            Self::Currency => "currency",
            Self::BelowMinimum { .. } => "below_minimum",
            Self::AboveMaximum { .. } => "above_maximum",
            Self::DailyLimit { .. } => "daily_limit",
            Self::OutsideHours => "outside_hours",
            Self::Maintenance { .. } => "maintenance",
            Self::BreakerOpen => "breaker_open",
            Self::NoRateLeft => "no_rate_left",
        }
    }
}

/// A sentence for people.
impl fmt::Display for Strike {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sentence = match self {
            Self::UnknownChannel => "there is no channel of this name",
            Self::SwitchedOff => "an operator has switched the channel off",
            Self::Disabled(ChannelState::Testing) => {
                "the channel is testing: it takes only what a rule sends to it by name"
            }
            Self::Disabled(state) => {
                return write!(formatter, "the channel is {}: it takes no orders", state.name());
            }
            Self::Operation => "the channel does not support this operation",
            Self::Instrument => "the channel does not take such an instrument",
            Self::Agreement => "the agreement is another channel's",
            Self::CodeBeginning => "the channel does not take codes that begin so",
            Self::AccountKind => "the channel does not pay to accounts of this kind",
            Self::CardType => "the channel does not take this type of card",
            Self::Brand => "the channel does not take cards of this brand",
            Self::Currency => "the channel does not take this currency",
            Self::BelowMinimum { minimum_minor } => {
                return write!(formatter, "the channel takes {minimum_minor} minor units or more");
            }
            Self::AboveMaximum { maximum_minor } => {
                return write!(formatter, "the channel takes {maximum_minor} minor units at most");
            }
            Self::DailyLimit { left_minor } => {
                return write!(
                    formatter,
                    "of the channel's limit for the day {left_minor} minor units are left"
                );
            }
            Self::OutsideHours => "the channel is outside its hours",
            Self::Maintenance { until } => {
                let until = until.strftime("%Y-%m-%d %H:%M");
                return write!(formatter, "the channel has maintenance until {until}, its time");
            }
            Self::BreakerOpen => "the channel's breaker is open after faults of its own",
            Self::NoRateLeft => "the channel's agreed pace leaves no room now",
        };
        formatter.write_str(sentence)
    }
}

type StrikeCheck = fn(&Channel<'_>, &RouteSubject<'_>) -> Option<Strike>;

/// Every reason but the state, in the order in which the first one found is reported: reasons that
/// never change first, those that change by the second last.
const CHECKS: [StrikeCheck; 15] = [
    operation,
    instrument,
    agreement,
    code_beginning,
    account_kind,
    card_type,
    brand,
    currency,
    minimum,
    maximum,
    daily_limit,
    hours,
    maintenance,
    breaker,
    rate,
];

impl Channel<'_> {
    /// The first reason to strike it, or `None` if it can take the order.
    pub(super) fn first_strike(&self, subject: &RouteSubject<'_>, by_name: bool) -> Option<Strike> {
        self.state_strike(by_name).or_else(|| CHECKS.iter().find_map(|check| check(self, subject)))
    }

    /// Every reason to strike it.
    pub(super) fn strikes(&self, subject: &RouteSubject<'_>, by_name: bool) -> Vec<Strike> {
        let others = CHECKS.iter().filter_map(|check| check(self, subject));
        self.state_strike(by_name).into_iter().chain(others).collect()
    }

    fn state_strike(&self, by_name: bool) -> Option<Strike> {
        let state = self.profile.state;
        if !self.profile.enabled {
            return Some(Strike::SwitchedOff);
        }
        (!state.takes_orders(by_name)).then_some(Strike::Disabled(state))
    }
}

fn operation(channel: &Channel<'_>, subject: &RouteSubject<'_>) -> Option<Strike> {
    let ChannelProfile { operations, services, .. } = channel.profile;
    let lacks = |service| !services.contains(&service);
    let is_able =
        subject.is_one_of(operations, services) && !subject.wanted_service().is_some_and(lacks);
    (!is_able).then_some(Strike::Operation)
}

fn instrument(channel: &Channel<'_>, subject: &RouteSubject<'_>) -> Option<Strike> {
    let order = subject.order()?;
    let ChannelProfile { instruments, payees, .. } = channel.profile;
    let taken = if order.kind == OrderKind::Payout { payees } else { instruments };
    let takes = order.kind.original().is_some() || taken.contains(&subject.instrument());
    (!takes).then_some(Strike::Instrument)
}

fn agreement(channel: &Channel<'_>, subject: &RouteSubject<'_>) -> Option<Strike> {
    let bound_to = subject.bound_to?;
    (*bound_to != channel.profile.id).then_some(Strike::Agreement)
}

fn code_beginning(channel: &Channel<'_>, subject: &RouteSubject<'_>) -> Option<Strike> {
    let code = subject.order()?.instrument.as_ref()?.code()?;
    let taken = &channel.profile.code_beginnings;
    let fits = taken.is_empty() || taken.iter().any(|one| code.masked.begins_with(one));
    (!fits).then_some(Strike::CodeBeginning)
}

fn account_kind(channel: &Channel<'_>, subject: &RouteSubject<'_>) -> Option<Strike> {
    let account = subject.order()?.instrument.as_ref()?.account()?;
    let ChannelProfile { payees, account_kinds, .. } = channel.profile;
    // What pays to no account at all was told so.
    let pays = payees.contains(&InstrumentKind::Account);
    (pays && !account_kinds.contains(&account.kind)).then_some(Strike::AccountKind)
}

fn card_type(channel: &Channel<'_>, subject: &RouteSubject<'_>) -> Option<Strike> {
    let taken = &channel.profile.card_types;
    let card_type = subject.card.and_then(|card| card.card_type);
    let fits = taken.is_empty()
        || !subject.instrument().has_card()
        || card_type.is_some_and(|card_type| taken.contains(&card_type));
    (!fits).then_some(Strike::CardType)
}

fn brand(channel: &Channel<'_>, subject: &RouteSubject<'_>) -> Option<Strike> {
    let taken = &channel.profile.brands;
    let fits = taken.is_empty()
        || !subject.instrument().has_card()
        || subject.card.is_some_and(|card| card.brands.meets(taken));
    (!fits).then_some(Strike::Brand)
}

fn currency(channel: &Channel<'_>, subject: &RouteSubject<'_>) -> Option<Strike> {
    let taken = &channel.profile.currencies;
    let fits = taken.is_empty() || taken.contains(&subject.order()?.currency);
    (!fits).then_some(Strike::Currency)
}

fn minimum(channel: &Channel<'_>, subject: &RouteSubject<'_>) -> Option<Strike> {
    let minimum_minor = channel.profile.per_order_min_minor;
    (subject.order()?.amount.get() < minimum_minor)
        .then_some(Strike::BelowMinimum { minimum_minor })
}

fn maximum(channel: &Channel<'_>, subject: &RouteSubject<'_>) -> Option<Strike> {
    let maximum_minor = channel.profile.per_order_max_minor;
    (subject.order()?.amount.get() > maximum_minor)
        .then_some(Strike::AboveMaximum { maximum_minor })
}

fn daily_limit(channel: &Channel<'_>, subject: &RouteSubject<'_>) -> Option<Strike> {
    let order = subject.order()?;
    let kind = VolumeKind::of(order.kind.operation()?)?;
    let used_minor = channel.health.used_today_minor[kind as usize].max(0);
    let left_minor = channel.profile.limit_of_day(kind)?.saturating_sub(used_minor).max(0);
    (order.amount.get() > left_minor).then_some(Strike::DailyLimit { left_minor })
}

fn hours(channel: &Channel<'_>, subject: &RouteSubject<'_>) -> Option<Strike> {
    let hours = channel.profile.hours.as_ref()?;
    (!hours.contains(subject.now)).then_some(Strike::OutsideHours)
}

fn maintenance(channel: &Channel<'_>, subject: &RouteSubject<'_>) -> Option<Strike> {
    let profile = channel.profile;
    let window = profile.maintenance.iter().find(|window| window.contains(subject.now))?;
    Some(Strike::Maintenance { until: window.until().civil(&profile.calendar.zone) })
}

fn breaker(channel: &Channel<'_>, _: &RouteSubject<'_>) -> Option<Strike> {
    channel.health.breaker_open.then_some(Strike::BreakerOpen)
}

fn rate(channel: &Channel<'_>, _: &RouteSubject<'_>) -> Option<Strike> {
    (!channel.health.rate_left).then_some(Strike::NoRateLeft)
}
