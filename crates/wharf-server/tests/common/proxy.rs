//! A TCP proxy in front of a server, which cuts connections in the ways that networks do.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::socket::Address;

/// The most bytes that are passed at once.
const BUFFER: usize = 16_384;

/// Passes bytes between its clients and the server, until it is told to cut. Ends with this value.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: String,
    /// An end of one half on either side ends everything, with what is under way.
    hasty: bool,
    silent: AtomicBool,
    ended: AtomicBool,
    plan: Mutex<Plan>,
    /// Every connection there was, so that both its sockets stay open whatever happens to the other.
    pairs: Mutex<Vec<Arc<Pair>>>,
}

/// How many connections are still to be cut, and after how many bytes from the server each.
#[derive(Debug)]
struct Plan {
    random: StdRng,
    bytes: Range<usize>,
    cuts_left: u32,
}

#[derive(Debug)]
struct Pair {
    client: TcpStream,
    server: TcpStream,
    /// The client's end is cut, and the server is not to see it.
    half_open: AtomicBool,
}

/// What a cut looks like from the server.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// The connection ends.
    Ended,
    /// Nothing: no FIN, and never a byte again. The client sees its end of the connection close.
    HalfOpen,
}

impl Proxy {
    /// Passes everything on.
    #[track_caller]
    pub fn before(server: &Address) -> Self {
        Self::that_cuts(server, 0, 0, 1..2)
    }

    /// Passes everything on until one side ends its half, and then closes both, as nginx does: what the client still
    /// sends is answered by a reset, which may take from it what it has not read.
    #[track_caller]
    pub fn in_haste(server: &Address) -> Self {
        Self::start(server, true, Plan { random: StdRng::seed_from_u64(0), bytes: 1..2, cuts_left: 0 })
    }

    /// Cuts the first `cuts` connections that live so long, each when a random number of bytes of `bytes` came
    /// from the server, which is as often within a message as between two.
    #[track_caller]
    pub fn that_cuts(server: &Address, seed: u64, cuts: u32, bytes: Range<usize>) -> Self {
        Self::start(server, false, Plan { random: StdRng::seed_from_u64(seed), bytes, cuts_left: cuts })
    }

    #[track_caller]
    fn start(server: &Address, hasty: bool, plan: Plan) -> Self {
        let Address::Tcp(server) = server else { panic!("{server:?} is no TCP address") };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            server: server.clone(),
            hasty,
            silent: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            plan: Mutex::new(plan),
            pairs: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Self { address, shared }
    }

    /// Where clients connect.
    pub fn address(&self) -> Address {
        Address::Tcp(self.address.to_string())
    }

    /// The same as the beginning of a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on no byte is passed, on connections that are there and on new ones; all sockets stay open, so that
    /// neither side sees an end.
    pub fn fall_silent(&self) {
        self.shared.silent.store(true, Ordering::SeqCst);
    }

    /// How many connections there have been; of a proxy in haste, how many there are.
    pub fn connections(&self) -> usize {
        self.shared.pairs().len()
    }

    /// How many cuts are still to come.
    pub fn cuts_left(&self) -> u32 {
        self.shared.plan().cuts_left
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address)); // Wakes the thread that accepts.
        for pair in self.shared.pairs().drain(..) {
            shut(&pair.client);
            shut(&pair.server);
        }
    }
}

impl Shared {
    fn plan(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pairs(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Pair>>> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shut(socket: &TcpStream) {
    let _ = socket.shutdown(Shutdown::Both); // It may have ended by itself.
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming().map_while(Result::ok) {
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        // A server that is gone is seen by the client as a connection that ends.
        let Ok(server) = TcpStream::connect(&shared.server) else { continue };
        for socket in [&client, &server] {
            let _ = socket.set_nodelay(true); // Only for speed.
        }
        let pair = Arc::new(Pair { client, server, half_open: AtomicBool::new(false) });
        shared.pairs().push(Arc::clone(&pair));
        let (up, down) = (Arc::clone(&pair), pair);
        let (shared_up, shared_down) = (Arc::clone(shared), Arc::clone(shared));
        thread::spawn(move || pass_up(&up, &shared_up));
        thread::spawn(move || pass_down(&down, &shared_down));
    }
}

/// From the client to the server.
fn pass_up(pair: &Pair, shared: &Shared) {
    let (mut from, mut to) = (&pair.client, &pair.server);
    let mut buffer = [0; BUFFER];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !shared.silent.load(Ordering::SeqCst) && to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    if shared.hasty {
        close(pair, shared);
    } else if !shared.silent.load(Ordering::SeqCst) && !pair.half_open.load(Ordering::SeqCst) {
        let _ = pair.server.shutdown(Shutdown::Write); // Passes the client's FIN on.
    }
}

/// From the server to the client, as far as the plan lets it.
fn pass_down(pair: &Pair, shared: &Shared) {
    let (mut from, mut to) = (&pair.server, &pair.client);
    let mut buffer = [0; BUFFER];
    let (mut budget, cut) = {
        let Plan { random, bytes, .. } = &mut *shared.plan();
        let cut = if random.random_bool(0.5) { Cut::Ended } else { Cut::HalfOpen };
        (random.random_range(bytes.clone()), cut)
    };
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if shared.silent.load(Ordering::SeqCst) {
            continue;
        }
        let last = count >= budget && take_cut(shared);
        let passed = if last { budget } else { count };
        budget = budget.saturating_sub(count);
        if to.write_all(&buffer[..passed]).is_err() {
            break;
        }
        if last {
            return carry_out(cut, pair);
        }
    }
    if shared.hasty {
        close(pair, shared);
    } else if !shared.silent.load(Ordering::SeqCst) {
        let _ = pair.client.shutdown(Shutdown::Write); // Passes the server's FIN on.
    }
}

/// Ends both sides. The sockets are closed when both threads have seen it.
fn close(pair: &Pair, shared: &Shared) {
    shut(&pair.server);
    shut(&pair.client);
    shared.pairs().retain(|other| !std::ptr::eq(&**other, pair));
}

fn take_cut(shared: &Shared) -> bool {
    let mut plan = shared.plan();
    let left = plan.cuts_left > 0;
    plan.cuts_left = plan.cuts_left.saturating_sub(1);
    left
}

fn carry_out(cut: Cut, pair: &Pair) {
    match cut {
        Cut::Ended => {
            shut(&pair.server);
            shut(&pair.client);
        }
        Cut::HalfOpen => {
            pair.half_open.store(true, Ordering::SeqCst);
            shut(&pair.client);
            // The server's bytes are still acknowledged by the kernel, and reach nobody.
            let mut buffer = [0; BUFFER];
            while let Ok(1..) = (&pair.server).read(&mut buffer) {}
        }
    }
}
