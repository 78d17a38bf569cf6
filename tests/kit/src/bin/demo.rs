//! The world around a local Grantry: an issuer to sign in at, a provider to connect and an app
//! to press Connect in. Runs until it is interrupted; keeps nothing.

use std::fmt::Display;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use testkit::demo_app::{DemoApp, config_file};
use testkit::fake_as::{Client, FakeAs, FakeAsConfig, Redirects, Rotation};
use testkit::issuer::Issuer;
use testkit::loopback::Clock;
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: demo --app-config FILE [--host 127.0.0.1] [--issuer-port 4570] \
                     [--provider-port 4571] [--app-port 4572]";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(reason) => {
            eprintln!("demo: {reason}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("demo: {reason}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), String> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(told("cannot wait for SIGINT"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(told("cannot wait for SIGTERM"))?;
    let Options {
        host,
        issuer_port,
        provider_port,
        app_port,
        app_config,
    } = options;

    let address = SocketAddr::new(host, issuer_port);
    let issuer = Issuer::bind(address, system_clock());
    let issuer = issuer.await.map_err(taken(address, "--issuer-port"))?;
    let address = SocketAddr::new(host, provider_port);
    let provider = FakeAs::bind(provider_config(address)?);
    let provider = provider.await.map_err(taken(address, "--provider-port"))?;
    let address = SocketAddr::new(host, app_port);
    let app = DemoApp::bind(address, config_file(app_config));
    let app = app.await.map_err(taken(address, "--app-port"))?;

    println!("issuer    {}", issuer.url());
    println!("provider  {}", provider.url());
    println!("app       {}", app.url());
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// A provider whose tokens are short-lived, so that refreshing can be watched, and whose grace
/// period lets a grant survive a process that dies between its answer and the store.
fn provider_config(bind: SocketAddr) -> Result<FakeAsConfig, String> {
    let mut config = FakeAsConfig::new(system_clock());
    config.bind = bind;
    aws_lc_rs::rand::fill(&mut config.seed).map_err(told("no randomness"))?;
    // The gateway's host is known only after deployment, the path of the callback is fixed.
    let redirects = Redirects::PathContains("/oauth/callback/".to_owned());
    config.clients = vec![Client::new("demo-client", "demo-secret").redirecting(redirects)];
    config.settings.rotation = Rotation::Grace { seconds: 60 };
    config.settings.access_token_lifetime_s = 90;
    Ok(config)
}

fn system_clock() -> Clock {
    Arc::new(|| {
        let elapsed = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
    })
}

fn taken(address: SocketAddr, flag: &'static str) -> impl Fn(io::Error) -> String {
    move |error| match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "{address} is in use: stop what listens there or choose another port with {flag}"
        ),
        _ => format!("cannot listen on {address}: {error}"),
    }
}

fn told<E: Display>(what: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error}")
}

#[derive(Debug, PartialEq, Eq)]
struct Options {
    host: IpAddr,
    issuer_port: u16,
    provider_port: u16,
    app_port: u16,
    app_config: PathBuf,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut host = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (mut issuer_port, mut provider_port, mut app_port) = (4570, 4571, 4572);
        let mut app_config = None;
        while let Some(flag) = args.next() {
            let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
            let refused = || format!("{flag} does not take {value}");
            match flag.as_str() {
                "--host" => host = value.parse().map_err(|_| refused())?,
                "--issuer-port" => issuer_port = value.parse().map_err(|_| refused())?,
                "--provider-port" => provider_port = value.parse().map_err(|_| refused())?,
                "--app-port" => app_port = value.parse().map_err(|_| refused())?,
                "--app-config" => app_config = Some(PathBuf::from(&value)),
                _ => return Err(format!("{flag} is not an option")),
            }
        }
        let app_config = app_config.ok_or("--app-config is missing")?;
        Ok(Self {
            host,
            issuer_port,
            provider_port,
            app_port,
            app_config,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Options;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn ports_have_defaults_and_can_be_chosen() {
        let options = parse("--app-config app.json --app-port 8080").unwrap();
        assert_eq!((options.issuer_port, options.provider_port), (4570, 4571));
        assert_eq!(options.app_port, 8080);
        assert!(options.host.is_loopback());
    }

    #[test]
    fn a_wrong_command_line_names_the_culprit() {
        assert_eq!(parse("").unwrap_err(), "--app-config is missing");
        assert_eq!(parse("--app-port").unwrap_err(), "--app-port needs a value");
        assert_eq!(
            parse("--app-port x").unwrap_err(),
            "--app-port does not take x"
        );
        assert_eq!(parse("--help me").unwrap_err(), "--help is not an option");
    }
}
