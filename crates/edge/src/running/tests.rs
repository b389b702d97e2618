use std::net::TcpStream;
use std::sync::Mutex;

use super::*;
use crate::{AddressRules, HubConfig, Limits, Secret};
use trunkline_http::{SideAnswer, Visit};

/// A side door that blocks the thread of each visitor until it is released.
#[derive(Debug)]
struct Trap {
    caught: std::sync::mpsc::SyncSender<()>,
    let_go: Mutex<std::sync::mpsc::Receiver<()>>,
}

impl SideDoor for Trap {
    fn claims(&self, path: &str) -> bool {
        path == "/trap"
    }

    fn serve(&self, _: Visit) -> SideAnswer {
        self.caught.send(()).expect("the test waits");
        self.let_go.lock().expect("no panic").recv().expect("the test lets it go");
        Box::pin(std::future::pending())
    }
}

fn config(threads: usize) -> Config {
    let keys = vec![Secret::new("0123456789abcdef")];
    Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        trunk_listen: None,
        tls: None,
        trunk_tls: None,
        threads,
        node_id: "n-test".into(),
        node_number: 7,
        version: "9.9.9",
        hubs: vec![HubConfig { name: "chat".into(), keys, ..HubConfig::default() }],
        spare_hubs: 0,
        default_hub: "chat".into(),
        names: None,
        limits: Limits::default(),
        addresses: AddressRules::default(),
        io_uring: false,
        heap_bytes: || 0,
    }
}

#[test]
fn a_shard_whose_thread_is_blocked_is_silent_and_the_others_are_not() {
    use std::io::Write;
    let mut edge = Edge::bind(config(2)).expect("a free port");
    let (caught, is_caught) = std::sync::mpsc::sync_channel(1);
    let (go, let_go) = std::sync::mpsc::channel();
    edge.add_side_door(Arc::new(Trap { caught, let_go: Mutex::new(let_go) }));
    let address = edge.local_addr();
    let edge = edge.start().expect("threads");
    let runtime = runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let silent =
        |longest_ms| runtime.block_on(edge.silent_shards(Duration::from_millis(longest_ms)));
    assert_eq!(silent(30_000), [0; 0]);
    // The acceptor begins with the first shard.
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(b"GET /trap HTTP/1.1\r\nhost: x\r\n\r\n").expect("it reads");
    is_caught.recv().expect("the door is asked");
    // Twice, while the first question still waits.
    assert_eq!(silent(200), [0]);
    assert_eq!(silent(200), [0]);
    go.send(()).expect("the door waits");
    assert_eq!(silent(30_000), [0; 0]);
    edge.stop();
}
