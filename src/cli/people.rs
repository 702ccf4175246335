//! The commands by which people see what plimsoll wants to do, and order it to or not to. Tokens come from
//! the environment or a file: arguments can be read by every user of a machine.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};

use plimsoll::api::client::Options;
use plimsoll::app::explaining;
use plimsoll::app::people::asking::{Daemon, Told};
use plimsoll::app::people::draw;
use plimsoll::domain::Version;
use plimsoll::safety::{ModelName, Order, Role};

/// Variable that holds the token.
const TOKEN: &str = "PLIMSOLL_TOKEN";

/// What people may ask and order.
#[derive(Debug, Subcommand)]
pub(super) enum People {
    /// Draws a token and prints it once, with the line that the configuration gets for it.
    #[command(after_help = "Examples:\n  plimsoll token --name alice --role approver")]
    Token(TokenArgs),
    /// Lists what was done or waits, newest first.
    #[command(
        after_help = "Examples:\n  plimsoll actions\n  plimsoll actions --json | jq '.actions[] | select(.state == \"awaiting_approval\")'"
    )]
    Actions(ShowArgs),
    /// Says what is frozen or held, which versions are good, and which targets are left alone.
    Safety(ShowArgs),
    /// Lets an action go ahead. Without --evidence it shows what led to the action, and asks.
    #[command(
        after_help = "Examples:\n  plimsoll approve rollback-1f2e --reason 'seen on the dashboard too'\n  plimsoll approve rollback-1f2e --reason 'runbook 12' --evidence sha256:... --yes"
    )]
    Approve(ApproveArgs),
    /// Has an action that waits for approval not done.
    Deny(ActionArgs),
    /// Stops an action that is under way, where its target can be asked to.
    Cancel(ActionArgs),
    /// Has nothing done to a model until it is released.
    #[command(after_help = "Examples:\n  plimsoll hold credit --reason 'audit until Friday'")]
    Hold(ModelArgs),
    /// Ends the hold of a model.
    Release(ModelArgs),
    /// Has nothing done to any model until it is resumed.
    #[command(after_help = "Examples:\n  plimsoll freeze --reason 'the feed of applications is broken'")]
    Freeze(AllArgs),
    /// Ends the freeze.
    Resume(AllArgs),
    /// Lets a version that was condemned be gone back to again, once it qualifies.
    Absolve(VersionArgs),
}

#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// Who gets it, as the audit log will name that person or program.
    #[arg(long, value_parser = holder)]
    name: String,
    /// What its holder may do; each role includes the ones before it.
    #[arg(long, value_parser = role())]
    role: Role,
}

/// Which daemon is asked, and how.
#[derive(Debug, Args)]
pub(super) struct DaemonArgs {
    /// The daemon; of several, with commas between, the one that owns the actions is asked.
    #[arg(long, value_name = "URL", value_delimiter = ',', default_value = explaining::DAEMON)]
    url: Vec<String>,
    /// File with the token; else it is taken from PLIMSOLL_TOKEN.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// PEM file with the authorities that sign the daemon's certificate. Those of the system unless given.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// PEM file with a certificate to show, where the daemon asks for one.
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,
    /// PEM file (PKCS #8) with its private key.
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
    /// Sends the token in the clear to another machine.
    #[arg(long)]
    insecure: bool,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    daemon: DaemonArgs,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// What every order has.
#[derive(Debug, Args)]
pub(super) struct OrderArgs {
    #[command(flatten)]
    daemon: DaemonArgs,
    /// Why, for those who read the log later. It is kept for ever: name no person.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// How long to wait for what becomes of it; 0s does not wait.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    wait: Duration,
}

#[derive(Debug, Args)]
pub(super) struct ActionArgs {
    /// Id of the action.
    action: String,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Args)]
pub(super) struct ApproveArgs {
    /// Id of the action.
    action: String,
    /// Hash of the evidence that was looked at.
    #[arg(long, value_name = "HASH")]
    evidence: Option<String>,
    /// Rollbacks: the version to go back to that was looked at.
    #[arg(long, value_name = "VERSION", requires = "evidence")]
    to_version: Option<String>,
    /// Asks nothing.
    #[arg(long, requires = "evidence")]
    yes: bool,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Args)]
pub(super) struct ModelArgs {
    /// The model.
    model: String,
    /// Its owner, where the inference log states one.
    #[arg(long)]
    tenant: Option<String>,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Args)]
pub(super) struct VersionArgs {
    /// The model.
    model: String,
    /// Its version.
    version: String,
    /// Its owner, where the inference log states one.
    #[arg(long)]
    tenant: Option<String>,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Args)]
pub(super) struct AllArgs {
    #[command(flatten)]
    order: OrderArgs,
}

fn role() -> impl TypedValueParser<Value = Role> {
    const ROLES: [Role; 3] = [Role::Viewer, Role::Operator, Role::Approver];
    PossibleValuesParser::new(ROLES.map(Role::name)).map(|name| {
        let named = ROLES.into_iter().find(|role| role.name() == name);
        named.expect("only names of roles are possible values")
    })
}

/// A name that the configuration takes as it is.
fn holder(text: &str) -> Result<String, String> {
    let plain = text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
    if plain && (1..=64).contains(&text.len()) {
        return Ok(text.to_owned());
    }
    Err("1 to 64 letters, digits, `-`, `_` and `.`".to_owned())
}

/// Carries it out.
pub(super) fn run(command: People) -> anyhow::Result<ExitCode> {
    let named = |model: String, tenant: Option<String>| ModelName {
        tenant: tenant.map(Into::into),
        model: model.into(),
    };
    let (order, args) = match command {
        People::Token(args) => {
            super::print(&draw(&args.name, args.role)?).context("cannot write the token")?;
            return Ok(ExitCode::SUCCESS);
        }
        People::Actions(args) => return show(&args, Daemon::actions),
        People::Safety(args) => return show(&args, Daemon::safety),
        People::Approve(args) => return approve(args),
        People::Deny(ActionArgs { action, order }) => (Order::Deny { action_id: action }, order),
        People::Cancel(ActionArgs { action, order }) => (Order::Cancel { action_id: action }, order),
        People::Hold(ModelArgs { model, tenant, order }) => (Order::Hold(named(model, tenant)), order),
        People::Release(ModelArgs { model, tenant, order }) => (Order::Release(named(model, tenant)), order),
        People::Freeze(AllArgs { order }) => (Order::Freeze, order),
        People::Resume(AllArgs { order }) => (Order::Resume, order),
        People::Absolve(VersionArgs { model, version, tenant, order }) => {
            (Order::Absolve { model: named(model, tenant), version: version.into() }, order)
        }
    };
    let daemon = connect(&args.daemon)?;
    give(&daemon, &order, &args)
}

/// The token, from the file or the environment.
fn token(file: Option<&Path>) -> anyhow::Result<Option<String>> {
    let text = match file {
        Some(file) => {
            let text = std::fs::read_to_string(file);
            Some(text.with_context(|| format!("cannot read the token in {}", file.display()))?)
        }
        None => match std::env::var(TOKEN) {
            Ok(text) => Some(text),
            Err(std::env::VarError::NotPresent) => None,
            Err(std::env::VarError::NotUnicode(_)) => bail!("{TOKEN} is not UTF-8"),
        },
    };
    let text = text.map(|text| text.trim().to_owned());
    match text {
        Some(text) if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
            bail!("what is given as a token is none")
        }
        text => Ok(text),
    }
}

fn connect(args: &DaemonArgs) -> anyhow::Result<Daemon> {
    let options = Options {
        token: token(args.token_file.as_deref())?,
        insecure: args.insecure,
        ca_file: args.ca_file.clone(),
        certificate: args.client_certificate.clone().zip(args.client_key.clone()),
    };
    Daemon::find(&args.url, &options)
}

fn show(args: &ShowArgs, what: impl Fn(&Daemon, bool) -> anyhow::Result<String>) -> anyhow::Result<ExitCode> {
    let daemon = connect(&args.daemon)?;
    if let Some(stranger) = daemon.stranger() {
        eprintln!("note: {stranger}");
    }
    super::print(what(&daemon, args.json)?.trim_end()).context("cannot write the answer")?;
    Ok(ExitCode::SUCCESS)
}

fn approve(args: ApproveArgs) -> anyhow::Result<ExitCode> {
    let daemon = connect(&args.order.daemon)?;
    let (evidence, to_version) = match args.evidence {
        Some(evidence) => (evidence, args.to_version.as_deref().map(Version::from)),
        None => {
            let evidence = daemon.evidence(&args.action)?;
            super::print(evidence.text.trim_end()).context("cannot write the evidence")?;
            confirm()?;
            (evidence.hash, evidence.to_version)
        }
    };
    give(&daemon, &Order::Approve { action_id: args.action, evidence, to_version }, &args.order)
}

/// Asks whether it is meant.
fn confirm() -> anyhow::Result<()> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        bail!(
            "nobody can be asked here: look at the evidence, and give its hash with --evidence, and the version of a \
               rollback with --to-version"
        );
    }
    let mut err = std::io::stderr();
    write!(err, "Let it go ahead? Type yes: ").and_then(|()| err.flush()).context("cannot ask")?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).context("cannot read the answer")?;
    if answer.trim() == "yes" { Ok(()) } else { bail!("not approved") }
}

fn give(daemon: &Daemon, order: &Order, args: &OrderArgs) -> anyhow::Result<ExitCode> {
    let name = order.name();
    match daemon.give(order, &args.reason, args.wait)? {
        Told::Accepted { id, why } => {
            let why = why.map_or_else(String::new, |why| format!(": {why}"));
            super::print(&format!("{name} is in force (order {id}){why}"))
                .context("cannot write the answer")?;
            Ok(ExitCode::SUCCESS)
        }
        Told::Refused { id, why } => bail!("{name} was refused (order {id}): {why}"),
        Told::Durable { id, .. } if args.wait.is_zero() => {
            super::print(&format!("{name} is given (order {id})")).context("cannot write the answer")?;
            Ok(ExitCode::SUCCESS)
        }
        Told::Durable { id, why } => {
            bail!("{name} is given and will be read (order {id}), but is not confirmed: {why}")
        }
    }
}
