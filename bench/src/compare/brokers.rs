//! The brokers that are compared: how each is configured and started, and what it can't do.
//!
//! Every measurement has a broker process of its own, so that nothing of one is left for the next. Limits that would
//! make a broker drop messages under load are lifted; all else is as it comes.

use crate::address::Address;
use crate::scenario::Scenario;
use crate::trust;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A broker that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Broker {
    /// One shard, as the generator takes a core of its own.
    Weir,
    WeirTwoShards,
    /// One shard, over TLS.
    WeirTls,
    Floor,
    Mosquitto,
    Rumqttd,
    Nats,
    Aedes,
    /// With a data directory, PUBACK after the sync.
    WeirSync,
    /// PUBACK after the write, a sync each second.
    WeirInterval,
    /// Nothing is written.
    WeirMemory,
    /// With persistence, which writes every half hour.
    MosquittoPersistent,
    /// The same, but it writes after every change.
    MosquittoAutosave,
}

/// Where the programs are; `None`: it does not take part.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Programs {
    /// The binary of Weir.
    #[arg(long)]
    weir: PathBuf,
    /// mosquitto 2.0.
    #[arg(long)]
    mosquitto: Option<PathBuf>,
    /// rumqttd 0.20.
    #[arg(long)]
    rumqttd: Option<PathBuf>,
    /// nats-server 2.15.
    #[arg(long)]
    nats: Option<PathBuf>,
    /// The folder with Aedes and its server.mjs.
    #[arg(long)]
    aedes: Option<PathBuf>,
}

/// A broker that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    address: Address,
    port: u16,
}

/// Until a broker has to accept connections.
const STARTING: Duration = Duration::from_secs(60);

impl Broker {
    pub(crate) const ALL: [Self; 13] = [
        Self::Weir,
        Self::WeirTwoShards,
        Self::WeirTls,
        Self::Floor,
        Self::Mosquitto,
        Self::Rumqttd,
        Self::Nats,
        Self::Aedes,
        Self::WeirSync,
        Self::WeirInterval,
        Self::WeirMemory,
        Self::MosquittoPersistent,
        Self::MosquittoAutosave,
    ];

    /// Whether it is somebody else's, and takes part in the comparison of them all.
    pub(crate) fn is_peer(self) -> bool {
        matches!(
            self,
            Self::Mosquitto | Self::Rumqttd | Self::Nats | Self::Aedes
        )
    }

    /// Whether it is ours.
    pub(crate) fn is_weir(self) -> bool {
        matches!(self, Self::Weir | Self::WeirTwoShards | Self::WeirTls)
            || self.durability().is_some()
    }

    /// Whether it is configured to keep messages, or to compare with that.
    fn is_durable(self) -> bool {
        let is_mosquitto = matches!(self, Self::MosquittoPersistent | Self::MosquittoAutosave);
        is_mosquitto || self.durability().is_some()
    }

    fn durability(self) -> Option<&'static str> {
        match self {
            Self::WeirSync => Some("sync"),
            Self::WeirInterval => Some("interval"),
            Self::WeirMemory => Some("memory"),
            _ => None,
        }
    }

    /// Its name in the table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Weir => "Weir",
            Self::WeirTwoShards => "Weir, 2 shards",
            Self::WeirTls => "Weir, wss",
            Self::Floor => "floor",
            Self::Mosquitto => "mosquitto",
            Self::Rumqttd => "rumqttd",
            Self::Nats => "nats-server",
            Self::Aedes => "aedes",
            Self::WeirSync => "Weir, sync",
            Self::WeirInterval => "Weir, interval",
            Self::WeirMemory => "Weir, memory",
            Self::MosquittoPersistent => "mosquitto, by default",
            Self::MosquittoAutosave => "mosquitto, autosave",
        }
    }

    /// Whether it can do what the scenario asks for, over WebSocket.
    pub(crate) fn can(self, scenario: Scenario) -> bool {
        use Scenario as S;
        if self.is_durable() || scenario.is_durable() {
            return self.is_durable() && scenario.is_durable();
        }
        match self {
            Self::Weir => true,
            // Others take minutes for a million subscriptions.
            _ if scenario == S::Subscriptions => false,
            Self::Mosquitto => true,
            Self::WeirTwoShards => matches!(scenario, S::FanOut | S::FanOutPaced | S::PairsQos1),
            Self::WeirTls => matches!(scenario, S::FanOut | S::Idle),
            Self::Floor => matches!(
                scenario,
                S::FanOut
                    | S::FanOutPaced
                    | S::Payload8k
                    | S::Payload256k
                    | S::Latency
                    | S::LatencyAlike
                    | S::Retained
                    | S::Pairs
                    | S::FanIn
                    | S::Shared
                    | S::Churn
            ),
            // 3.1.1 only over WebSocket; its QoS 2 ends at the first hop; it replays 200 retained messages; nobody comes back
            // who is still there.
            Self::Rumqttd => !matches!(
                scenario,
                S::FanOutV5 | S::PairsQos2 | S::Storm | S::Retained
            ),
            // 3.1.1 only, no QoS 2 to subscribers, no shared subscriptions; 100,000 retained messages take it minutes.
            Self::Nats => !matches!(
                scenario,
                S::FanOutV5 | S::PairsQos2 | S::Shared | S::Retained
            ),
            // No shared subscriptions; half of what others can do is a hundred times what it can.
            Self::Aedes => !matches!(scenario, S::FanOutV5 | S::Shared | S::LatencyAlike),
            _ => false,
        }
    }

    /// Whether its program is there.
    pub(crate) fn is_among(self, programs: &Programs) -> bool {
        self.command(programs, Path::new(""), 0).is_some()
    }

    /// Starts it in `folder`, which it has for itself.
    ///
    /// # Errors
    /// It can't be started, or does not accept connections.
    pub(crate) fn start(self, programs: &Programs, folder: &Path) -> io::Result<Running> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        let port = free_port()?;
        fs::write(
            folder.join("broker.toml"),
            self.configuration(folder, port)?,
        )?;
        self.start_again(programs, folder, port)
    }

    /// Starts it with what it has left in `folder`.
    ///
    /// # Errors
    /// It can't be started, or does not accept connections.
    pub(crate) fn start_again(
        self,
        programs: &Programs,
        folder: &Path,
        port: u16,
    ) -> io::Result<Running> {
        let command = self.command(programs, folder, port);
        let mut command = command.ok_or_else(|| io::Error::other("its program is not given"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let scheme = if self == Self::WeirTls { "wss" } else { "ws" };
        let address = format!("{scheme}://127.0.0.1:{port}/mqtt");
        let address = address.parse().map_err(io::Error::other)?;
        let running = Running {
            child,
            address,
            port,
        };
        running.wait()?;
        Ok(running)
    }

    fn command(self, programs: &Programs, folder: &Path, port: u16) -> Option<Command> {
        let with = |program: &PathBuf, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments).arg(folder.join("broker.toml"));
            command
        };
        Some(match self {
            Self::Floor => {
                let mut command = Command::new(std::env::current_exe().ok()?);
                command.args(["floor", "--bind", &format!("127.0.0.1:{port}")]);
                command
            }
            Self::Mosquitto | Self::MosquittoPersistent | Self::MosquittoAutosave => {
                with(programs.mosquitto.as_ref()?, &["-c"])
            }
            Self::Rumqttd => with(programs.rumqttd.as_ref()?, &["-c"]),
            Self::Nats => with(programs.nats.as_ref()?, &["-c"]),
            Self::Aedes => {
                let mut command = Command::new("node");
                let server = programs.aedes.as_ref()?.join("server.mjs");
                command.arg(server).arg(port.to_string());
                command
            }
            _ => with(&programs.weir, &["run", "--config"]),
        })
    }

    fn configuration(self, folder: &Path, port: u16) -> io::Result<String> {
        let other = free_port()?;
        let shown = folder.display();
        Ok(match self {
            Self::Weir | Self::WeirTwoShards => {
                let shards = if self == Self::Weir { 1 } else { 2 };
                format!("shards = {shards}\n[[listener]]\nbind = \"127.0.0.1:{port}\"\n")
            }
            Self::WeirTls => {
                trust::write_identity(folder)?;
                format!(
                    "shards = 1\n[[listener]]\nbind = \"127.0.0.1:{port}\"\nprotocol = \"wss\"\n\
                     certificate_file = \"{shown}/certificate.pem\"\nkey_file = \"{shown}/key.pem\"\n"
                )
            }
            Self::Floor | Self::Aedes => String::new(),
            Self::Mosquitto => mosquitto(port, other),
            Self::MosquittoPersistent | Self::MosquittoAutosave => {
                // It would change to a user that must not write there.
                let plain = mosquitto(port, other);
                let autosave = match self {
                    Self::MosquittoAutosave => "autosave_on_changes true\nautosave_interval 1\n",
                    _ => "",
                };
                format!(
                    "{plain}user root\npersistence true\npersistence_location {shown}/\n{autosave}"
                )
            }
            Self::WeirSync | Self::WeirInterval | Self::WeirMemory => format!(
                "shards = 1\n[[listener]]\nbind = \"127.0.0.1:{port}\"\n\
                 [limits]\nqueue_messages = 10000000\nqueue_bytes = 0x4_0000_0000\n\
                 [store]\npath = \"{shown}/store\"\ndurability = \"{}\"\n",
                self.durability().unwrap_or("sync")
            ),
            Self::Rumqttd => rumqttd(port, other),
            Self::Nats => format!(
                "server_name: bench\nhost: 127.0.0.1\nport: {other}\njetstream {{ store_dir: \"{shown}\" }}\n\
                 mqtt {{ host: 127.0.0.1, port: {}, max_ack_pending: 65535 }}\n\
                 websocket {{ host: 127.0.0.1, port: {port}, no_tls: true }}\n",
                free_port()?
            ),
        })
    }
}

/// Without a TCP listener it does not start; without socket_domain it listens on every address.
fn mosquitto(port: u16, other: u16) -> String {
    format!(
        "listener {port}\nprotocol websockets\nsocket_domain ipv4\nlistener {other} 127.0.0.1\nallow_anonymous true\n\
         set_tcp_nodelay true\nmax_queued_messages 0\nmax_inflight_messages 0\n"
    )
}

fn rumqttd(port: u16, other: u16) -> String {
    let server = |name: &str, port: u16| {
        format!(
            "[{name}.1]\nname = \"{name}\"\nlisten = \"127.0.0.1:{port}\"\nnext_connection_delay_ms = 0\n\
             [{name}.1.connections]\nconnection_timeout_ms = 60000\nmax_payload_size = 1048576\n\
             max_inflight_count = 500\ndynamic_filters = true\n"
        )
    };
    format!(
        "id = 0\n[router]\nid = 0\nmax_connections = 10010\nmax_outgoing_packet_count = 200\n\
         max_segment_size = 104857600\nmax_segment_count = 10\n{}{}",
        server("v4", other),
        server("ws", port)
    )
}

impl Running {
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Ends it at once, with SIGKILL.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends it in order, with SIGTERM.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        let process = Pid::from_raw(self.child.id().cast_signed());
        kill(process, Signal::SIGTERM)?;
        self.child.wait().map(drop)
    }

    fn wait(&self) -> io::Result<()> {
        let (deadline, address) = (
            Instant::now() + STARTING,
            SocketAddr::from(([127, 0, 0, 1], self.port)),
        );
        loop {
            match TcpStream::connect(address) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
