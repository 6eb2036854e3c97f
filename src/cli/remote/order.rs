//! `switchyard order list|show|story|find|export`: the orders of the running daemon.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value};

use crate::cli::output::{Output, UNWRITTEN, is_closed, note, say};
use crate::cli::remote::listing::{Listing, list};
use crate::cli::remote::{DaemonArgs, blocking, card_from_input, given, one_of};
use crate::cli::shown::{cell, money, second, state_with_reason};
use crate::cli::table::TextTable;
use crate::cli::typed;
use crate::domain::ids::OrderId;
use crate::domain::order::{OrderKind, OrderStatus};
use crate::domain::outcome::Reason;

/// Where orders are looked for.
const SEARCH: &str = "/v1/orders/search";
/// The rows of one page.
const PAGE_ROWS: u64 = 500;

#[derive(Debug, Args)]
pub struct OrderArgs {
    #[command(subcommand)]
    command: OrderCommand,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Subcommand)]
enum OrderCommand {
    /// List orders, the newest first
    List {
        #[command(flatten)]
        filter: FilterArgs,
        /// How many at most
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        limit: u64,
        /// Only orders before this one: where another list ended
        #[arg(long, value_name = "ID")]
        after: Option<String>,
    },
    /// Show one order of any kind
    Show {
        /// Our order id (19 digits), or the caller's
        id: String,
        /// The caller of the order id, where the key is another caller's
        #[arg(long, value_name = "NAME")]
        caller: Option<String>,
    },
    /// Tell everything that the books have of one order, in order of time
    Story {
        /// Our order id (19 digits), or the caller's
        id: String,
        /// The caller of the order id, where the key is another caller's
        #[arg(long, value_name = "NAME")]
        caller: Option<String>,
    },
    /// Find orders by any number: ours, the caller's, the channel's, its reference, the bank's
    Find {
        number: String,
        /// Only orders of this caller
        #[arg(long, value_name = "NAME")]
        caller: Option<String>,
        /// Only orders from this time on: a date, or a time as 2026-11-22T08:00:00Z
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Only orders before this time
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
    },
    /// Write orders to standard output: CSV, or with --json one object a line
    Export {
        #[command(flatten)]
        filter: FilterArgs,
    },
}

/// What orders are looked for by.
#[derive(Debug, Args)]
struct FilterArgs {
    /// From this time on: a date (its beginning in UTC), or a time as 2026-11-22T08:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    #[arg(long, value_parser = OrderStatus::ALL.map(OrderStatus::name))]
    status: Option<String>,
    #[arg(long, value_parser = OrderKind::NAMES)]
    kind: Option<String>,
    /// Tried on this channel
    #[arg(long)]
    channel: Option<String>,
    #[arg(long, value_name = "ID")]
    merchant: Option<String>,
    /// Of this amount, in major units as 12.30
    #[arg(long, requires = "currency", conflicts_with_all = ["amount_from", "amount_to"])]
    amount: Option<String>,
    /// Of this amount or more, in major units
    #[arg(long, value_name = "AMOUNT", requires = "currency")]
    amount_from: Option<String>,
    /// Of this amount or less, in major units
    #[arg(long, value_name = "AMOUNT", requires = "currency")]
    amount_to: Option<String>,
    /// In this currency, as CNY
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,
    /// Of a card of this issuer, by its code in the BIN table
    #[arg(long, value_name = "CODE")]
    issuer: Option<String>,
    /// The first six digits of the card
    #[arg(long, value_name = "DIGITS")]
    first_six: Option<String>,
    /// The last four digits of the card
    #[arg(long, value_name = "DIGITS")]
    last_four: Option<String>,
    /// Read the whole card number from standard input: arguments are seen by others
    #[arg(long)]
    card_from_stdin: bool,
    /// Why it ended as it did
    #[arg(long, value_parser = Reason::ALL.map(Reason::name))]
    reason: Option<String>,
    /// The caller that asked for it
    #[arg(long, value_name = "NAME")]
    caller: Option<String>,
}

impl FilterArgs {
    /// The body of a search.
    fn body(&self) -> anyhow::Result<Map<String, Value>> {
        let fields = [
            ("from", &self.from),
            ("to", &self.to),
            ("status", &self.status),
            ("kind", &self.kind),
            ("channel", &self.channel),
            ("merchant_id", &self.merchant),
            ("currency", &self.currency),
            ("issuer_code", &self.issuer),
            ("first_six", &self.first_six),
            ("last_four", &self.last_four),
            ("reason", &self.reason),
            ("caller", &self.caller),
        ];
        let mut body = given(&fields);
        if let Some(code) = &self.currency {
            let currency = typed::currency(code)?;
            for (flag, typed_amount) in [
                ("amount", &self.amount),
                ("amount-from", &self.amount_from),
                ("amount-to", &self.amount_to),
            ] {
                if let Some(text) = typed_amount {
                    let minor = typed::amount(flag, text, currency)?;
                    body.insert(flag.replace('-', "_"), minor.to_string().into());
                }
            }
        }
        if self.card_from_stdin {
            body.insert("card".to_owned(), card_from_input()?);
        }
        Ok(body)
    }
}

const ORDERS: Listing = Listing {
    rows: "orders",
    heading: &["id", "order id", "kind", "status", ">amount", "channel", "created"],
    cells: |order| {
        vec![
            cell(order, "id"),
            cell(order, "order_id"),
            cell(order, "kind"),
            state_with_reason(order, "status"),
            money(order, "amount", &cell(order, "currency")),
            cell(order, "channel"),
            cell(order, "created_at"),
        ]
    },
};

const EVENTS: Listing = Listing {
    rows: "events",
    heading: &["at", "kind", "words"],
    cells: |event| vec![second(event, "at"), cell(event, "kind"), cell(event, "words")],
};

pub fn run(args: &OrderArgs) -> anyhow::Result<ExitCode> {
    let daemon = &args.daemon;
    match &args.command {
        OrderCommand::List { filter, limit, after } => {
            blocking(list_orders(daemon, filter.body()?, *limit, after.clone()))?;
        }
        OrderCommand::Show { id, caller } => show(daemon, id, caller.as_deref())?,
        OrderCommand::Story { id, caller } => blocking(tell(daemon, id, caller.as_deref()))?,
        OrderCommand::Find { number, caller, from, to } => {
            let filters = [
                ("number", Some(number.as_str())),
                ("caller", caller.as_deref()),
                ("from", from.as_deref()),
                ("to", to.as_deref()),
            ];
            blocking(ORDERS.print(daemon, "/v1/orders/find", &filters))?;
        }
        OrderCommand::Export { filter } => blocking(export(daemon, filter.body()?))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show(daemon: &DaemonArgs, id: &str, caller: Option<&str>) -> anyhow::Result<()> {
    let path = one_of("/v1/payments", id, OrderId::parse(id).is_some(), caller);
    daemon.show(&blocking(daemon.json(Method::GET, &path, None))?)
}

/// Prints what happened as a table, and below it what was sent and what came.
async fn tell(daemon: &DaemonArgs, id: &str, caller: Option<&str>) -> anyhow::Result<()> {
    let id = match (OrderId::parse(id), caller) {
        (Some(ours), None) => ours.to_string(),
        (Some(_) | None, _) => {
            let path = one_of("/v1/payments", id, false, caller);
            let order = daemon.json(Method::GET, &path, None).await?;
            order["id"].as_str().unwrap_or_default().to_owned()
        }
    };
    let path = format!("/v1/orders/{id}/story");
    let story = daemon.json(Method::GET, &path, None).await?;
    EVENTS.print_page(daemon, &mut TextTable::new(EVENTS.heading), &story)?;
    let events = list(&story, EVENTS.rows).filter(|_| !daemon.json);
    for event in events {
        let words = |name| event["data"].get(name).and_then(Value::as_str);
        for (title, text) in
            [("order.sent", words("sent")), ("order.transcript", words("transcript"))]
        {
            if let Some(text) = text {
                let (at, kind) = (second(event, "at"), cell(event, "kind"));
                say!("\n{at}  {kind}: {}\n{text}", daemon.language().text(title))?;
            }
        }
    }
    Ok(())
}

/// Prints orders, page by page: many pages may be empty before one has an order that is asked for.
async fn list_orders(
    daemon: &DaemonArgs,
    mut body: Map<String, Value>,
    limit: u64,
    mut after: Option<String>,
) -> anyhow::Result<()> {
    let (mut table, mut left) = (TextTable::new(ORDERS.heading), limit);
    // Bounded by the books: each page goes on behind the one before.
    loop {
        body.insert("limit".to_owned(), left.min(PAGE_ROWS).into());
        if let Some(after) = &after {
            body.insert("after".to_owned(), after.as_str().into());
        }
        let asked = Value::Object(body.clone());
        let page = daemon.json(Method::POST, SEARCH, Some(&asked)).await?;
        ORDERS.print_page(daemon, &mut table, &page)?;
        left = left.saturating_sub(list(&page, "orders").count() as u64);
        after = page.get("next").and_then(Value::as_str).map(str::to_owned);
        let Some(next) = &after else { return Ok(()) };
        if left == 0 || is_closed() {
            note!("there may be more: --after {next}, or a larger --limit");
            return Ok(());
        }
    }
}

async fn export(daemon: &DaemonArgs, body: Map<String, Value>) -> anyhow::Result<()> {
    let accept = if daemon.json { "application/x-ndjson" } else { "text/csv" };
    let body = Value::Object(body);
    let mut response = daemon.ask(Method::POST, SEARCH, accept, Some(&body)).await?;
    // Bounded by the books; each piece is written before the next is read.
    while let Some(piece) = response.chunk().await? {
        Output.write_all(&piece).context(UNWRITTEN)?;
        if is_closed() {
            return Ok(());
        }
    }
    Output.flush().context(UNWRITTEN)
}
