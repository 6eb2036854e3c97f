//! `switchyard simulate`: a channel's side of its protocol as a process of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use crate::clock::Clock;
use crate::simulator::{Faults, Simulator, SimulatorKeys, SimulatorSettings};

#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// Whose side to play
    dialect: Dialect,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// How badly it behaves
    #[arg(long, default_value = "calm", value_parser = ["calm", "lossy", "hostile"])]
    profile: String,
    /// One seed gives one history of answers and faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Charges out of a hundred that are declined
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=100))]
    declines_percent: u8,
    /// Where the keys are written that a merchant of unionpay-acp needs
    #[arg(long, value_name = "DIR", default_value = "./simulated-keys")]
    keys: PathBuf,
    /// harbour-bank: take requests without a signature, for throughput measurements
    #[arg(long)]
    unsigned: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Dialect {
    UnionpayAcp,
    HarbourBank,
}

pub fn run(args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    let faults = Faults::preset(&args.profile).context("there is no such profile")?;
    let settings = settings(args)?
        .with_address(args.listen)
        .with_faults(faults)
        .with_seed(args.seed)
        .with_declines_percent(args.declines_percent);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let simulator = Simulator::start(settings).await.context("the simulator cannot start")?;
        if let Some(key) = simulator.harbour_key() {
            println!("HMAC key: {key}");
        }
        println!("listening on {}", simulator.base_url());
        tokio::signal::ctrl_c().await?;
        let ledger = simulator.stop().await;
        eprintln!("{} entries in the ledger", ledger.entries().len());
        Ok(ExitCode::SUCCESS)
    })
}

fn settings(args: &SimulateArgs) -> anyhow::Result<SimulatorSettings> {
    let clock: crate::simulator::Clock = Arc::new(|| Clock::System.now());
    Ok(match args.dialect {
        Dialect::HarbourBank if args.unsigned => SimulatorSettings::benchmark("harbour", clock),
        Dialect::HarbourBank => SimulatorSettings::harbour_bank("harbour", clock),
        Dialect::UnionpayAcp => {
            let keys = SimulatorKeys::generate()?;
            write_keys(&args.keys, &keys)?;
            SimulatorSettings::unionpay_acp("unionpay", Arc::new(keys), clock)
        }
    })
}

/// The files that `[unionpay_acp]` of a channel file names. They are made anew at every start and
/// protect nothing.
fn write_keys(folder: &Path, keys: &SimulatorKeys) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    let files = [
        ("merchant-key.pem", &keys.merchant_key_pem),
        ("merchant.pem", &keys.merchant_certificate_pem),
        ("encryption.pem", &keys.encryption_certificate_pem),
        ("root.pem", &keys.root_pem),
        ("intermediate.pem", &keys.intermediate_pem),
    ];
    for (name, pem) in files {
        let path = folder.join(name);
        fs::write(&path, pem.as_bytes()).with_context(|| path.display().to_string())?;
    }
    println!("keys in {}", folder.display());
    Ok(())
}
