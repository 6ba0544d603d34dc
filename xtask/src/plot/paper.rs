//! On paper: what larger machines would take, by the figures of this one. The sums are shown, so that whoever doubts an
//! assumption can put in another.

use anyhow::{Context, Result};

use super::tables::{number, table};
use crate::growth::{
    HEARTBEATS, IDLE, PING_INTERVAL_S,
    data::{Growth, spell},
};

/// The machine.
const CORES: f64 = 64.0;
const MEMORY_GB: f64 = 256.0;
/// What of it is planned for: the rest is for peaks, and for what no figure here knows.
const CORES_USED: f64 = 0.7;
const MEMORY_USED: f64 = 0.75;
/// A delivery of 128 bytes of payload on the network: the push around it, the frame's header, TCP, IP and Ethernet.
const WIRE_BYTES: f64 = 128.0 + 60.0 + 4.0 + 32.0 + 20.0 + 18.0;
/// Deliveries a second to each connection.
const RATES: [f64; 4] = [0.0, 0.01, 0.1, 1.0];
/// The cluster's connections.
const CLUSTER: f64 = 10e6;

/// What one connection costs, by the figures.
#[derive(Debug, Clone, Copy)]
pub struct Costs {
    /// Memory that waits with it, in KiB: the server's and the kernel's.
    pub user_kib: f64,
    pub kernel_kib: f64,
    /// Processor time, in microseconds.
    pub heartbeat_us: f64,
    pub delivery_us: f64,
    pub saturated_us: f64,
    pub open_us: f64,
    pub publish_us: f64,
    /// A sparse delivery by two workers, in times of one by one worker.
    pub two_workers: f64,
}

impl Costs {
    pub fn of(growth: &Growth) -> Result<Self> {
        let most = IDLE[IDLE.len() - 1];
        let idle = growth
            .run("costs", "idle", HEARTBEATS)?
            .server
            .cpu_percent
            .context("the idle run has a share")?;
        Ok(Self {
            user_kib: growth.kib("websocket", most)?,
            kernel_kib: growth
                .run("memory", "websocket", most)?
                .kernel_kib
                .context("the kernel's part was seen")?,
            heartbeat_us: idle / 100.0 * 1e6 * PING_INTERVAL_S as f64 / HEARTBEATS as f64,
            delivery_us: growth.us("members", "websocket", 1_000)?,
            saturated_us: growth.us("members", "saturated", 1_000)?,
            open_us: growth.us("costs", "open", 1)?,
            publish_us: growth.us("costs", "publish", 1)?,
            two_workers: growth.us("workers", "sparse", 2)? / growth.us("members", "websocket", 1_000)?,
        })
    }

    /// Processor time of a connection that so many deliveries come to: microseconds a second.
    fn us_a_second(&self, rate: f64) -> f64 {
        self.heartbeat_us / PING_INTERVAL_S as f64 + rate * self.delivery_us
    }

    fn bytes(&self) -> f64 {
        (self.user_kib + self.kernel_kib) * 1_024.0
    }

    /// How many connections one machine's memory, and its cores at such a rate, hold.
    fn by_memory(&self) -> f64 {
        MEMORY_USED * MEMORY_GB * 1e9 / self.bytes()
    }

    fn by_cores(&self, rate: f64) -> f64 {
        CORES_USED * CORES * 1e6 / self.us_a_second(rate)
    }

    fn one_machine(&self, rate: f64) -> Vec<String> {
        let (memory, cores) = (self.by_memory(), self.by_cores(rate));
        let connections = memory.min(cores);
        vec![
            spell_rate(rate),
            format!("{} us", spell(self.us_a_second(rate))),
            millions(cores),
            format!("{}, by the {}", millions(connections), if memory < cores { "memory" } else { "cores" }),
            format!("{} Gbit/s", spell(connections * rate * WIRE_BYTES * 8.0 / 1e9)),
            format!("{} s", spell(connections * self.open_us / 1e6 / CORES)),
        ]
    }

    /// Machines without the spare one.
    fn machines(&self, rate: f64) -> f64 {
        (CLUSTER / self.by_memory()).max(CLUSTER / self.by_cores(rate)).ceil()
    }

    fn cluster(&self, rate: f64) -> Vec<String> {
        let machines = self.machines(rate) + 1.0;
        let each = CLUSTER / machines;
        // Those that are left take the connections of the lost one by what they have free.
        let free_cores = (machines - 1.0) * CORES * (1.0 - CORES_USED);
        vec![
            spell_rate(rate),
            format!("{:.0}", CLUSTER * self.us_a_second(rate) / 1e6),
            format!("{:.0} + 1", machines - 1.0),
            millions(each),
            format!("{} GB", spell(each * self.bytes() / 1e9)),
            format!("{} Gbit/s", spell(each * rate * WIRE_BYTES * 8.0 / 1e9)),
            format!("{} s", spell(each * self.open_us / 1e6 / free_cores)),
        ]
    }
}

/// The section.
pub fn paper(costs: &Costs) -> String {
    let Costs {
        user_kib,
        kernel_kib,
        heartbeat_us,
        delivery_us,
        saturated_us,
        open_us,
        publish_us,
        two_workers,
    } = *costs;
    let one: Vec<_> = RATES.iter().map(|rate| costs.one_machine(*rate)).collect();
    let many: Vec<_> = RATES.iter().map(|rate| costs.cluster(*rate)).collect();
    let nodes = costs.machines(1.0) + 1.0;
    let [user, kernel, heartbeat, delivery, saturated, open, publish] =
        [user_kib, kernel_kib, heartbeat_us, delivery_us, saturated_us, open_us, publish_us].map(spell);
    let each_kib = spell(user_kib + kernel_kib);
    let one = table(
        &[
            "deliveries a second, each",
            "processor a second, each",
            "by the cores",
            "connections",
            "network",
            "all come back in",
        ],
        &one,
    );
    let many = table(
        &[
            "deliveries a second, each",
            "cores at work",
            "machines",
            "connections on each",
            "memory of each",
            "network of each",
            "one fails: back in",
        ],
        &many,
    );
    let cluster = number(CLUSTER as u64);
    let (cores_used, memory_used) = (CORES_USED * 100.0, MEMORY_USED * 100.0);
    let memory_bytes = costs.bytes().round();
    let by_memory = millions(costs.by_memory());
    let broker = spell(nodes * 1_000.0 * publish_us / 1e6);
    format!(
        "What a connection costs, from the figures above: {user} KiB of the server's and {kernel} KiB of the kernel's \
         memory while it waits, together {each_kib} KiB; {heartbeat} us for a ping and its pong each {PING_INTERVAL_S} s; \
         {delivery} us for a sparse delivery and {saturated} us when 64 are in flight; {open} us to open and subscribe; \
         {publish} us for a publication by HTTP.

**One machine of {CORES:.0} cores and {MEMORY_GB:.0} GB**, of which {cores_used:.0} % and {memory_used:.0} % are planned \
         for. Its memory holds {memory_used:.0} % of {MEMORY_GB:.0} GB / {memory_bytes:.0} bytes = {by_memory} connections; \
         its cores {cores_used:.0} % of {CORES:.0} s a second / ({heartbeat} us / {PING_INTERVAL_S} + deliveries x \
         {delivery} us). A delivery of 128 bytes is {WIRE_BYTES:.0} bytes on the network. All come back at once in \
         connections x {open} us / {CORES:.0} cores.

{one}

**A cluster for {cluster} connections** of such machines: cores at work are connections x the same processor time; \
         machines are the larger of what memory and cores ask for, and one more, so that one may fail. Its connections \
         then come back to the others, whose free {free:.0} % of the cores open them.

{many}

Each publication also goes to every machine that has subscribers of its channel: 1,000 a second to all {nodes:.0} machines \
         of the last row are {nodes:.0} x 1,000 x {publish} us = {broker} cores, if receiving one costs what taking it by HTTP does.

What is assumed: that cores add up, as workers share no lock on the way of a delivery (two of them here: {two_workers:.2} x the time of one for each delivery); that \
         deliveries are sparse, which is the worst case (busy channels cost {saturated} us a delivery instead of \
         {delivery}); that messages are small, and connections plain TCP. TLS was not measured: it adds a handshake to each \
         opening and its buffers to each connection. Sockets whose peers are slow take memory by their backlog, up to its \
         limit. One process may have 1,048,576 descriptors until `fs.nr_open` is raised, and millions of heartbeats want a \
         network card with many queues. None of this was tried on such machines, and Wharf has no broker between machines yet: the cluster is a sum, not a product.",
        free = (1.0 - CORES_USED) * 100.0,
    )
}

fn spell_rate(rate: f64) -> String {
    match rate {
        0.0 => "none".to_owned(),
        rate if rate < 1.0 => format!("{rate} (1 in {:.0} s)", 1.0 / rate),
        rate => format!("{rate}"),
    }
}

fn millions(value: f64) -> String {
    format!("{} million", spell(value / 1e6))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Round numbers, so that the sums can be done by hand.
    const COSTS: Costs = Costs {
        user_kib: 0.5,
        kernel_kib: 3.5,
        heartbeat_us: 25.0,
        delivery_us: 10.0,
        saturated_us: 0.2,
        open_us: 50.0,
        publish_us: 10.0,
        two_workers: 1.0,
    };

    #[test]
    fn one_machine_is_bounded_by_what_runs_out_first() {
        // 0.75 x 256 GB / 4,096 bytes; 0.7 x 64 s a second / (25 us / 25 s).
        assert_eq!(COSTS.by_memory(), 46_875_000.0);
        assert!((COSTS.by_cores(0.0) - 44.8e6).abs() < 1.0);
        let idle = COSTS.one_machine(0.0);
        assert_eq!(
            idle,
            ["none", "1.00 us", "44.8 million", "44.8 million, by the cores", "0.00 Gbit/s", "35.0 s"]
        );
        // 44.8 s / (1 us + 10 us) = 4.07 million, each 262 bytes a second.
        let busy = COSTS.one_machine(1.0);
        assert_eq!(busy[2..5], ["4.07 million", "4.07 million, by the cores", "8.54 Gbit/s"]);
        let light = Costs { heartbeat_us: 20.0, ..COSTS }.one_machine(0.0);
        assert_eq!(light[3], "46.9 million, by the memory");
    }

    #[test]
    fn a_cluster_has_a_machine_to_spare_and_the_others_take_back_what_it_held() {
        // 10 million x 11 us a second are 110 cores; 10 / 4.07 million are three machines, and one more.
        let row = COSTS.cluster(1.0);
        assert_eq!(row[1..6], ["110", "3 + 1", "2.50 million", "10.2 GB", "5.24 Gbit/s"]);
        // 2.5 million x 50 us / (3 x 64 x 0.3 cores).
        assert_eq!(row[6], "2.17 s");
        assert_eq!(COSTS.cluster(0.0)[2], "1 + 1");
    }

    #[test]
    fn the_section_shows_its_sums() {
        let text = paper(&COSTS);
        for words in [
            "0.50 KiB of the server's and 3.50 KiB of the kernel's",
            "75 % of 256 GB / 4096 bytes = 46.9 million connections",
            "all 4 machines of the last row are 4 x 1,000 x 10.0 us = 0.040 cores",
        ] {
            assert!(text.contains(words), "{words} in {text}");
        }
        assert!(!text.contains("  "), "{text}");
    }
}
