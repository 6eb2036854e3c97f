//! `switchyard route explain|replay|push`: shows every rule and candidate with its verdict, with
//! nothing sent; plans past orders again; publishes the routes that all nodes run.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::api::channels::{asked_account, asked_code, explanation_body};
use crate::app::{StartError, load_routes, view_channels};
use crate::cli::load::{SettingsArgs, print_mistakes};
use crate::cli::output::say;
use crate::cli::push::{PushArgs, PushedFile, push};
use crate::cli::remote::{DaemonArgs, blocking};
use crate::cli::replay::{self, ReplayArgs};
use crate::cli::shown::cell;
use crate::cli::typed;
use crate::clock::Clock;
use crate::domain::card::mask;
use crate::domain::ids::{MerchantCategory, MerchantId};
use crate::domain::instrument::InstrumentFacts;
use crate::domain::money::AmountMinor;
use crate::domain::order::{Instruction, OrderKind, SettlementMode};
use crate::domain::payee_account::AccountKind;
use crate::domain::route::RoutedName;
use crate::engine::intake::{QuestionSubject, RouteQuestion, explain_route};
use crate::entropy::Entropy;
use crate::tables::bin::LiveBinTable;

#[derive(Debug, Args)]
pub struct RouteArgs {
    #[command(subcommand)]
    command: RouteCommand,
}

#[derive(Debug, Subcommand)]
enum RouteCommand {
    /// Show where a payment or a service to a card would go, and why
    Explain(ExplainArgs),
    /// Plan the orders of a time again, under other routes or channel files
    Replay(ReplayArgs),
    /// Publish the routes to all nodes of a store that nodes share
    Push(RoutePushArgs),
}

#[derive(Debug, Args)]
struct RoutePushArgs {
    /// The routes file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    settings: SettingsArgs,
    /// The data folder
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data: PathBuf,
    #[command(flatten)]
    why: PushArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ExplainArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// The data folder
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data: PathBuf,
    /// The card's leading digits, 6 to 12 of them
    #[arg(long, required_unless_present_any = ["code", "payee_kind"])]
    bin: Option<String>,
    /// In place of a card: how the payer's code begins
    #[arg(long, conflicts_with_all = ["bin", "length"])]
    code: Option<String>,
    /// In place of a payee's card: what the payee's account is known by
    #[arg(
        long, value_name = "KIND", conflicts_with_all = ["bin", "length", "code"],
        value_parser = AccountKind::ALL.map(AccountKind::name),
    )]
    payee_kind: Option<String>,
    /// The card's length in digits, where the BIN has several
    #[arg(long, value_name = "DIGITS")]
    length: Option<u8>,
    #[arg(long, default_value = "payment", value_parser = RoutedName::ROUTED.map(RoutedName::name))]
    operation: String,
    /// The amount of an order, in major units as 12.30; a service has none
    #[arg(long, requires = "currency")]
    amount: Option<String>,
    /// The amount's currency, as CNY
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,
    #[arg(long, default_value = "instant")]
    settlement: String,
    #[arg(long, value_name = "ID", default_value = "any")]
    merchant: String,
    /// The merchant category, four digits, where fees depend on it
    #[arg(long)]
    merchant_category: Option<String>,
    /// Ask the running daemon, which also knows each channel's health and today's volume
    #[arg(long)]
    daemon: bool,
    #[command(flatten)]
    remote: DaemonArgs,
}

pub fn run(args: &RouteArgs) -> anyhow::Result<ExitCode> {
    let args = match &args.command {
        RouteCommand::Explain(args) => args,
        RouteCommand::Replay(args) => return replay::run(args),
        RouteCommand::Push(RoutePushArgs { file, settings, data, why, json }) => {
            return push((settings, data), &[PushedFile::Routes(file)], (why, *json));
        }
    };
    let question = question(args)?;
    if args.daemon {
        return ask(args, &question);
    }
    let settings = args.settings.load().map_err(StartError::Mistakes);
    let loaded = settings.and_then(|settings| {
        let registry = view_channels(&settings, &args.data)?;
        let routes = load_routes(&settings, &registry)?;
        Ok((registry, routes))
    });
    let (registry, routes) = match loaded {
        Ok(loaded) => loaded,
        Err(StartError::Mistakes(mistakes)) => {
            print_mistakes(&mistakes);
            return Ok(ExitCode::from(1));
        }
        Err(error) => return Err(error.into()),
    };
    let bins = LiveBinTable::load(&args.data).context("the BIN table cannot be loaded")?;
    let occasion = (Entropy::System.draw(), Clock::System.now());
    let rules = &routes.current().rules;
    let explained = explain_route(&question, &registry, &bins, rules, occasion, explanation_body);
    report(args, &explained)
}

/// The daemon's own explanation.
fn ask(args: &ExplainArgs, asked: &RouteQuestion) -> anyhow::Result<ExitCode> {
    let card = args.bin.as_ref().map(|bin| json!({ "bin": bin, "length": args.length }));
    let payer = args.code.as_ref().map(|code| json!({ "code": code }));
    let payee = args.payee_kind.as_ref().map(|kind| json!({ "kind": kind }));
    let mut question = json!({
        "operation": args.operation,
        "merchant_id": args.merchant,
    });
    // The daemon knows each of them only where it may stand.
    for (name, given) in [("card", card), ("payer", payer), ("payee", payee)] {
        if let Some(given) = given {
            question[name] = given;
        }
    }
    if let QuestionSubject::Order(instruction) = &asked.subject {
        question["amount"] = instruction.amount.get().into();
        question["currency"] = instruction.currency.name().into();
        question["settlement"] = args.settlement.as_str().into();
        question["merchant_category"] = args.merchant_category.as_deref().into();
    }
    let post = reqwest::Method::POST;
    let asked = args.remote.json(post, "/v1/routes/explain", Some(&question));
    report(args, &blocking(asked)?)
}

/// Prints an explanation; the exit code is 1 if the plan has no channel.
fn report(args: &ExplainArgs, explained: &Value) -> anyhow::Result<ExitCode> {
    if args.remote.json {
        say!("{explained}")?;
    } else {
        print(explained)?;
        if !args.daemon {
            say!("(without the channels' health and today's volumes; --daemon includes them)")?;
        }
    }
    let routed = explained["channels"].as_array().is_some_and(|kept| !kept.is_empty());
    Ok(if routed { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn question(args: &ExplainArgs) -> anyhow::Result<RouteQuestion> {
    let bin = args.bin.clone().unwrap_or_default();
    let digits = bin.bytes().all(|byte| byte.is_ascii_digit());
    if args.bin.is_some() && (!digits || !(6..=12).contains(&bin.len())) {
        bail!("--bin takes 6 to 12 digits, not a card number ({})", mask(&bin));
    }
    let code = args.code.as_deref();
    let code = code.map(|code| asked_code(code).context("--code takes 2 letters or digits"));
    let code = code.transpose()?.map(InstrumentFacts::Code);
    let account = args.payee_kind.as_deref().and_then(AccountKind::parse).map(asked_account);
    let instrument = code.or(account.map(InstrumentFacts::Account));
    let category = args
        .merchant_category
        .as_deref()
        .map(|code| MerchantCategory::parse(code).context("a merchant category has four digits"));
    let asked = RoutedName::parse(&args.operation).context("--operation is not routed")?;
    let merchant = MerchantId::parse(&args.merchant)?;
    let (kind, amount, code_of_currency) = match (asked, &args.amount) {
        (RoutedName::Order(kind), Some(amount)) => (kind, amount, args.currency.as_deref()),
        (RoutedName::Order(_), None) => bail!("--amount and --currency are needed for an order"),
        (RoutedName::Service(service), None) if instrument.is_none() => {
            let subject = QuestionSubject::Service { service, merchant_id: merchant };
            return Ok(RouteQuestion { subject, digits: bin, pan_length: args.length });
        }
        (RoutedName::Service(_), _) => {
            bail!("a service has a --bin, no --code, no --payee-kind and no --amount")
        }
    };
    let currency = typed::currency(code_of_currency.unwrap_or_default())?;
    let amount = AmountMinor::new(typed::amount("amount", amount, currency)?)?;
    let settlement = SettlementMode::parse(&args.settlement)
        .context("--settlement is neither instant nor escrow")?;
    let mut instruction = Instruction::unsent(kind, merchant, amount, currency);
    instruction.settlement_mode = settlement;
    instruction.merchant_category = category.transpose()?;
    let is_payout = kind == OrderKind::Payout;
    match instrument {
        Some(InstrumentFacts::Account(_)) if !is_payout => {
            bail!("--payee-kind is of --operation payout")
        }
        Some(InstrumentFacts::Code(_)) if is_payout => bail!("a payout has no --code"),
        instrument => instruction.instrument = instrument,
    }
    let subject = QuestionSubject::Order(Box::new(instruction));
    Ok(RouteQuestion { subject, digits: bin, pan_length: args.length })
}

/// What the BIN table says of the card, as far as it knows it.
fn card(card: &Value) -> String {
    let known = ["bin", "pan_length", "issuer_name", "card_name", "card_type", "brand", "as_of"];
    let known = known.into_iter().filter(|name| card.get(name).is_some_and(|one| !one.is_null()));
    let known = known.map(|name| match name {
        "pan_length" => format!("{} digits", cell(card, name)),
        "as_of" => format!("as of {}", cell(card, name)),
        name => cell(card, name),
    });
    known.collect::<Vec<_>>().join(", ")
}

fn print(explained: &Value) -> anyhow::Result<()> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    say!("card: {}", card(&explained["card"]))?;
    for rule in explained["rules"].as_array().into_iter().flatten() {
        say!("rule \"{}\": {}", text(&rule["name"]), text(&rule["verdict"]))?;
        for mismatch in rule["mismatches"].as_array().into_iter().flatten() {
            say!("    {}: {}", text(&mismatch["condition"]), text(&mismatch["detail"]))?;
        }
        if rule["verdict"] == json!("does_not_fit") {
            continue;
        }
        for candidate in rule["candidates"].as_array().into_iter().flatten() {
            let reasons = candidate["reasons"].as_array().cloned().unwrap_or_default();
            let reasons: Vec<String> = reasons.iter().map(|one| text(&one["detail"])).collect();
            let verdict = if reasons.is_empty() { "kept".to_owned() } else { reasons.join("; ") };
            say!("    {}: {verdict}", text(&candidate["channel"]))?;
        }
    }
    let kept = explained["channels"].as_array().into_iter().flatten().map(text);
    let kept: Vec<String> = kept.collect();
    say!("plan: {}", if kept.is_empty() { "no channel".to_owned() } else { kept.join(", ") })
}
