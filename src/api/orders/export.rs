//! Orders as streams: CSV with a column for each fact, or the listing's objects line by line.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;

use crate::api::dto::{MomentText, OrderBody, Text};
use crate::api::stream::Pages;
use crate::codec::cell::inert;
use crate::domain::ids::{ChannelOrderNo, OrderId};
use crate::domain::instrument::InstrumentFacts;
use crate::domain::order::{Order, OrderKind};
use crate::domain::order_filter::OrderFilter;
use crate::domain::time::BusinessDate;
use crate::store::{PAGE_MAX, Store, StoreError};

/// The columns of the CSV form: the fields of [`OrderLine`], in their order.
const COLUMNS: [&str; 26] = [
    "id",
    "order_id",
    "caller",
    "kind",
    "of",
    "status",
    "reason",
    "merchant_id",
    "amount",
    "currency",
    "settlement",
    "card",
    "payee",
    "issuer_code",
    "issuer_name",
    "card_type",
    "brand",
    "channel",
    "channel_order_no",
    "channel_reference",
    "code",
    "attempts",
    "clearing_date",
    "description",
    "created_at",
    "finished_at",
];

/// Every order that a filter takes, page by page.
pub struct OrderPages {
    store: Arc<dyn Store>,
    filter: OrderFilter,
    after: Option<OrderId>,
    ended: bool,
}

impl OrderPages {
    pub fn of(store: Arc<dyn Store>, filter: OrderFilter, after: Option<OrderId>) -> Self {
        Self { store, filter, after, ended: false }
    }
}

impl Pages for OrderPages {
    type Row = Order;

    const TABLE: &'static str = "orders";

    async fn next(&mut self) -> Result<Option<Vec<Order>>, StoreError> {
        if self.ended {
            return Ok(None);
        }
        let page = self.store.search_orders(self.filter.clone(), self.after, PAGE_MAX).await?;
        self.ended = page.next.is_none();
        self.after = page.next;
        Ok(Some(page.orders))
    }

    fn heading() -> Vec<u8> {
        let mut heading = COLUMNS.join(",").into_bytes();
        heading.push(b'\n');
        heading
    }

    fn csv(rows: &[Order]) -> csv::Result<Vec<u8>> {
        let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
        for order in rows {
            writer.serialize(OrderLine::from(order))?;
        }
        writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))
    }

    fn write_line(row: &Order, line: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(line, &OrderBody::from(row).with_caller(row))
    }
}

/// An order as a line of the CSV form. What it has not is an empty column; the texts of callers,
/// channels and tables are [`inert`].
#[derive(Serialize)]
struct OrderLine<'row> {
    id: Text<OrderId>,
    order_id: Cow<'row, str>,
    caller: Cow<'row, str>,
    kind: &'static str,
    of: Option<String>,
    status: &'static str,
    reason: Option<&'static str>,
    merchant_id: Cow<'row, str>,
    amount: i64,
    currency: &'static str,
    settlement: &'static str,
    card: Option<&'row str>,
    payee: Option<Cow<'row, str>>,
    issuer_code: Option<Cow<'row, str>>,
    issuer_name: Option<Cow<'row, str>>,
    card_type: Option<&'static str>,
    brand: Option<&'static str>,
    channel: Option<&'row str>,
    channel_order_no: Option<Text<ChannelOrderNo>>,
    channel_reference: Option<Cow<'row, str>>,
    code: Option<Cow<'row, str>>,
    attempts: usize,
    clearing_date: Option<Text<BusinessDate>>,
    description: Option<Cow<'row, str>>,
    created_at: MomentText,
    finished_at: Option<MomentText>,
}

impl<'row> From<&'row Order> for OrderLine<'row> {
    fn from(order: &'row Order) -> Self {
        let asked = &order.instruction;
        let card = asked.card();
        let account = asked.instrument.as_ref().and_then(InstrumentFacts::account);
        let row = card.and_then(|card| card.row.as_deref());
        let speaking = order.speaking();
        Self {
            id: Text(order.id),
            order_id: inert(asked.caller_order_id.as_str()),
            caller: inert(asked.caller.as_str()),
            kind: asked.kind.name(),
            of: match asked.kind {
                OrderKind::Undo { of } => Some(of.to_string()),
                kind => kind.original().map(|of| of.to_string()),
            },
            status: order.status.name(),
            reason: order.reason.map(|reason| reason.name()),
            merchant_id: inert(asked.merchant_id.as_str()),
            amount: asked.amount.get(),
            currency: asked.currency.name(),
            settlement: asked.settlement_mode.name(),
            card: card.map(|card| card.masked.as_str()),
            payee: account.map(|account| inert(account.masked.as_str())),
            issuer_code: row.map(|row| inert(&row.issuer_code)),
            issuer_name: row.map(|row| inert(&row.issuer_name)),
            card_type: row.map(|row| row.card_type.name()),
            brand: row.map(|row| row.brands.first.name()),
            channel: speaking.map(|attempt| attempt.channel.as_str()),
            channel_order_no: speaking.map(|one| Text(order.channel_order_no(one.number))),
            channel_reference: speaking.and_then(|one| one.channel_reference.as_deref()).map(inert),
            code: speaking.and_then(|one| one.code.as_deref()).map(inert),
            attempts: order.attempts.len(),
            clearing_date: order.clearing_date.map(Text),
            description: asked.description.as_deref().map(inert),
            created_at: MomentText(order.created_at),
            finished_at: order.finished_at.map(MomentText),
        }
    }
}
