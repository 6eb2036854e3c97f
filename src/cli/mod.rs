//! The command line: one file for each sub-command, which parses, calls and prints.
//!
//! Exit codes: 0 done; 1 refused, not valid, or failed; 2 wrong usage, or `reconcile` or
//! `settlement` found differences; 3 an invariant is broken; 4 the store has failed under `serve`,
//! and a supervisor restarts the daemon.

pub mod bin;
pub mod books;
mod certify;
pub mod channel;
pub mod check_config;
pub mod clearing;
mod complete;
pub mod demo;
mod explain_signature;
mod load;
pub mod notice;
mod output;
mod push;
pub mod reconcile;
pub mod remote;
pub mod replay;
mod route;
pub mod serve;
mod shown;
pub mod simulate;
pub mod statement;
pub mod store;
mod table;
mod typed;

use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{CommandFactory as _, Parser, Subcommand};

use crate::cli::output::note;
use crate::clock::Clock;
use crate::telemetry;

/// Reads an argument that is the name of one value of a closed set.
fn word_of<T: Copy + Send + Sync + 'static, const COUNT: usize>(
    all: [T; COUNT],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(all.map(name))
        .try_map(move |word| all.into_iter().find(|value| name(*value) == word).ok_or("no value"))
}

/// A channel gateway for card payments.
#[derive(Debug, Parser)]
#[command(name = "switchyard", version, about, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Run the daemon
    Serve(serve::ServeArgs),
    /// Run the daemon against simulated channels in one process, and check the books
    Demo(demo::DemoArgs),
    /// Simulate a channel: its side of the protocol, with faults and a ledger
    Simulate(simulate::SimulateArgs),
    /// Report every mistake in the settings, the channel files and the routes
    CheckConfig(check_config::CheckConfigArgs),
    /// Look up cards in the BIN table, and maintain the table
    Bin(bin::BinArgs),
    /// Explain where a payment would go, and publish routes to all nodes
    Route(route::RouteArgs),
    /// List, check and publish channel files
    Channel(channel::ChannelArgs),
    /// Have the running daemon read channel files, routes and BIN table anew
    Reload(remote::reload::ReloadArgs),
    /// Show the running daemon's day, and what wants a person
    Today(remote::today::TodayArgs),
    /// List, find, show and export the running daemon's orders
    Order(remote::order::OrderArgs),
    /// List and show agreements, which bind cards, and end one
    Agreement(remote::agreement::AgreementArgs),
    /// Show a card verification
    Verification(remote::verification::VerificationArgs),
    /// Show what became of the code by SMS of a payment
    PaymentCode(remote::payment_code::PaymentCodeArgs),
    /// List and resolve unknowns of the running daemon
    Reversal(remote::reversal::ReversalArgs),
    /// List what waits for a second person, and approve, refuse or withdraw it
    Approval(remote::approval::ApprovalArgs),
    /// List what the books teach of the BIN table, and accept or refuse it
    Proposal(remote::proposal::ProposalArgs),
    /// List the running daemon's notices to the core, and send one again
    Notice(notice::NoticeArgs),
    /// List the transactions, and show one with its channel's transcript
    Transaction(books::transaction::TransactionArgs),
    /// List the accounting requests, and retry or withdraw one
    Accounting(books::accounting::AccountingArgs),
    /// List what operators did, and why
    Audit(books::audit::AuditArgs),
    /// List the evidence that contradicts orders that had ended
    Contradiction(books::contradiction::ContradictionArgs),
    /// Export clearing records, close clearing days, and verify closed ones
    Clearing(clearing::ClearingArgs),
    /// Show the running daemon's clock, or confirm it
    Clock(remote::clock::ClockArgs),
    /// Show the nodes that share the running daemon's books
    Node(remote::node::NodeArgs),
    /// Show the running daemon's workers
    Worker(remote::worker::WorkerArgs),
    /// Verify, back up and restore the books, and make their index anew
    Store(store::StoreArgs),
    /// Have the running daemon download a channel's statement, or list the files of a date
    Statement(statement::StatementArgs),
    /// Reconcile a statement file, in the running daemon's books or against exported records
    Reconcile(reconcile::ReconcileArgs),
    /// List and resolve differences between statements and our records
    Difference(books::difference::DifferenceArgs),
    /// Record what the bank received from a channel, and check it against the statements
    Settlement(books::settlement::SettlementArgs),
    /// Print a channel's day on one page
    Report(books::report::ReportArgs),
    /// Print a script with which a shell completes commands and options
    Completions(complete::CompletionsArgs),
    /// Write the manual pages of all commands
    Man(complete::ManArgs),
}

/// The definition of the command line: what parses it, the completions, and the manual pages.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the program.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.command {
        CliCommand::Serve(args) => serve::run(args),
        CliCommand::Demo(args) => demo::run(args),
        CliCommand::Simulate(args) => simulate::run(args),
        CliCommand::CheckConfig(args) => check_config::run(args),
        CliCommand::Bin(args) => bin::run(args, Clock::System.now().as_millis()),
        CliCommand::Route(args) => route::run(args),
        CliCommand::Channel(args) => channel::run(args),
        CliCommand::Reload(args) => remote::reload::run(args),
        CliCommand::Today(args) => remote::today::run(args),
        CliCommand::Order(args) => remote::order::run(args),
        CliCommand::Agreement(args) => remote::agreement::run(args),
        CliCommand::Verification(args) => remote::verification::run(args),
        CliCommand::PaymentCode(args) => remote::payment_code::run(args),
        CliCommand::Reversal(args) => remote::reversal::run(args),
        CliCommand::Approval(args) => remote::approval::run(args),
        CliCommand::Proposal(args) => remote::proposal::run(args),
        CliCommand::Transaction(args) => books::transaction::run(args),
        CliCommand::Accounting(args) => books::accounting::run(args),
        CliCommand::Audit(args) => books::audit::run(args),
        CliCommand::Contradiction(args) => books::contradiction::run(args),
        CliCommand::Notice(args) => notice::run(args),
        CliCommand::Clearing(args) => clearing::run(args),
        CliCommand::Clock(args) => remote::clock::run(args),
        CliCommand::Node(args) => remote::node::run(args),
        CliCommand::Worker(args) => remote::worker::run(args),
        CliCommand::Store(args) => store::run(args),
        CliCommand::Statement(args) => statement::run(args),
        CliCommand::Reconcile(args) => reconcile::run(args),
        CliCommand::Difference(args) => books::difference::run(args),
        CliCommand::Settlement(args) => books::settlement::run(args),
        CliCommand::Report(args) => books::report::run(args),
        CliCommand::Completions(args) => complete::completions(args),
        CliCommand::Man(args) => complete::man(args),
    };
    done.unwrap_or_else(|error| {
        let error: &(dyn std::error::Error + 'static) = error.as_ref();
        note!("switchyard: {}", telemetry::chain(error));
        ExitCode::from(1)
    })
}
