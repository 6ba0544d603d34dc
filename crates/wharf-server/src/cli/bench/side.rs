//! One side of a comparison, the server or the floor: a process that is measured and the load that is put on it.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::{
    dial::Target,
    flags::Plan,
    generator::{Generator, Shape},
    process::{self, Memory, Served},
    tally::Tally,
    wire::{Transport, device},
};

/// Switches compression on in a server that is started.
const COMPRESSION: (&str, &str) = ("WHARF_COMPRESSION__ENABLED", "true");

pub struct Side {
    /// A child of ours; a server that ran already is none.
    _served: Option<Served>,
    /// Whose time and memory are measured. Without one, only rates and latencies are.
    pub pid: Option<u32>,
    /// Whether it gives back what was missed. The floor answers only as if it did.
    pub recovers: bool,
    pub generator: Generator,
}

/// What was done while a side was measured.
#[derive(Debug, Clone, Copy)]
pub struct Done {
    pub operations: u64,
    /// Operations that were due and never asked, because those before them took too long.
    pub left_out: u64,
}

impl Done {
    pub fn all(operations: u64) -> Self {
        Self { operations, left_out: 0 }
    }
}

impl Side {
    /// Takes a child as a side: it is reached at its own address.
    fn of_child(served: Served, source_addresses: u8, shape: Shape) -> anyhow::Result<Self> {
        let address = served.address;
        let host = address.to_string();
        let devices = served.devices;
        let target = Target { address, devices, host, path: None, api_key: None, source_addresses };
        let generator = Generator::new(target, shape)?;
        Ok(Self { pid: Some(served.pid()), _served: Some(served), recovers: true, generator })
    }

    /// Starts the floor. Its connections are WebSockets whatever the server's are, and compress nothing.
    pub fn floor(plan: &Plan) -> anyhow::Result<Self> {
        let shape = Shape { transport: Transport::Websocket, compress: false, ..plan.shape };
        let floor = Self::of_child(Served::floor()?, plan.source_addresses, shape)?;
        Ok(Self { recovers: false, ..floor })
    }

    /// Takes the server that runs already, or starts one.
    pub fn server(plan: &Plan) -> anyhow::Result<Self> {
        let Some(target) = &plan.server else {
            let mut variables = Vec::new();
            if plan.shape.compress {
                variables.push(COMPRESSION);
            }
            let devices = device::listener(&plan.shape);
            if plan.shape.transport == Transport::Device {
                variables.push((device::VARIABLE, devices.as_str()));
            }
            let served = Served::wharf(plan.workers, &variables)?;
            return Self::of_child(served, plan.source_addresses, plan.shape);
        };
        let generator = Generator::new(target.clone(), plan.shape)?;
        Ok(Self { pid: plan.pid, _served: None, recovers: true, generator })
    }

    /// Starts a server like the one that is measured, whose connections are offered no compression.
    pub fn uncompressed(plan: &Plan) -> anyhow::Result<Self> {
        let shape = Shape { compress: false, ..plan.shape };
        Self::of_child(Served::wharf(plan.workers, &[COMPRESSION])?, plan.source_addresses, shape)
    }

    /// Does work that the server is measured by; the work says how many operations it was.
    pub fn measure(
        &mut self,
        work: impl FnOnce(&mut Generator) -> anyhow::Result<Done>,
    ) -> anyhow::Result<Sample> {
        self.settle()?;
        self.generator.take_tally();
        let own = process::cpu_ns(std::process::id())?;
        let before = (self.cpu_ns()?, self.workers_cpu_ns());
        let begun = Instant::now();
        let Done { operations, left_out } = work(&mut self.generator)?;
        let wall = begun.elapsed();
        let own = process::cpu_ns(std::process::id())?.saturating_sub(own);
        // What the server still does for these operations belongs to them.
        self.settle()?;
        let cpu_ns = self.cpu_ns()?.zip(before.0).map(|(after, before)| after.saturating_sub(before));
        let workers = self.workers_cpu_ns().into_iter().zip(before.1);
        let workers_cpu_ns = workers.map(|(after, before)| after.saturating_sub(before)).collect();
        let Tally { latency, refused, deflated, .. } = self.generator.take_tally();
        let generator_cpu_ns = own;
        Ok(Sample {
            operations,
            left_out,
            refused,
            deflated,
            wall,
            cpu_ns,
            workers_cpu_ns,
            generator_cpu_ns,
            latency,
        })
    }

    /// Waits until the server is quiet, so that what follows is not charged with what went before.
    pub fn settle(&mut self) -> anyhow::Result<()> {
        let Some(pid) = self.pid else { return Ok(()) };
        process::settle(pid, |step| self.generator.turn_for(step))
    }

    pub fn memory(&self) -> anyhow::Result<Option<Memory>> {
        self.pid.map(process::memory).transpose()
    }

    fn cpu_ns(&self) -> anyhow::Result<Option<u64>> {
        self.pid.map(process::cpu_ns).transpose()
    }

    fn workers_cpu_ns(&self) -> Vec<u64> {
        self.pid.map(process::workers_cpu_ns).unwrap_or_default()
    }
}

/// What was measured while something was done.
#[derive(Debug, Clone)]
pub struct Sample {
    pub operations: u64,
    /// Operations that were due and never asked.
    pub left_out: u64,
    /// Connections that the server had no time for, and which came again.
    pub refused: u64,
    /// Messages that came compressed.
    pub deflated: u64,
    pub wall: Duration,
    /// Processor time of the server.
    pub cpu_ns: Option<u64>,
    /// And of each of its workers, if it is a Wharf.
    pub workers_cpu_ns: Vec<u64>,
    /// Processor time of this process.
    pub generator_cpu_ns: u64,
    /// Nanoseconds.
    pub latency: Histogram<u64>,
}

impl Sample {
    /// Several samples as if they were one; `None` if there are none.
    pub fn sum(samples: &[Self]) -> Option<Self> {
        let (first, rest) = samples.split_first()?;
        let mut sum = first.clone();
        for sample in rest {
            sum.operations += sample.operations;
            sum.refused += sample.refused;
            sum.left_out += sample.left_out;
            sum.deflated += sample.deflated;
            sum.wall += sample.wall;
            sum.cpu_ns = sum.cpu_ns.zip(sample.cpu_ns).map(|(one, other)| one + other);
            let workers = sum.workers_cpu_ns.iter_mut().zip(&sample.workers_cpu_ns);
            workers.for_each(|(sum, ns)| *sum += ns);
            sum.generator_cpu_ns += sample.generator_cpu_ns;
            // All histograms have the bounds that `Tally::new` gives them, so this cannot fail.
            let _ = sum.latency.add(&sample.latency);
        }
        Some(sum)
    }

    /// Microseconds of the server's for each operation.
    pub fn cpu_us(&self) -> Option<f64> {
        self.cpu_ns.filter(|_| self.operations > 0).map(|ns| ns as f64 / 1e3 / self.operations as f64)
    }

    /// How busy this process was: 1 is a whole processor.
    pub fn generator_busy(&self) -> f64 {
        self.generator_cpu_ns as f64 / (self.wall.as_nanos() as f64).max(1.0)
    }

    /// How busy each of the server's workers was.
    pub fn workers_busy(&self) -> impl Iterator<Item = f64> {
        let wall_ns = (self.wall.as_nanos() as f64).max(1.0);
        self.workers_cpu_ns.iter().map(move |ns| *ns as f64 / wall_ns)
    }

    /// How busy the server was.
    pub fn server_busy(&self) -> Option<f64> {
        self.cpu_ns.map(|ns| ns as f64 / (self.wall.as_nanos() as f64).max(1.0))
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A sample of so many operations at so many microseconds each, in a second.
    pub fn sample(operations: u64, cpu_us: u64, generator_busy: f64) -> Sample {
        let mut latency = Tally::new().latency;
        latency.record_n(200_000, operations).expect("within bounds");
        Sample {
            operations,
            left_out: 0,
            refused: 0,
            deflated: 0,
            wall: Duration::from_secs(1),
            cpu_ns: Some(operations * cpu_us * 1_000),
            workers_cpu_ns: vec![3_000],
            generator_cpu_ns: (generator_busy * 1e9) as u64,
            latency,
        }
    }

    #[test]
    fn rounds_add_up_weighted_by_what_was_done() {
        let sum = Sample::sum(&[sample(100, 10, 0.5), sample(300, 2, 0.1)]).expect("two samples");
        assert_eq!((sum.operations, sum.wall.as_secs(), sum.latency.len()), (400, 2, 400));
        assert_eq!(sum.cpu_us(), Some(4.0));
        assert_eq!(sum.workers_cpu_ns, [6_000]);
        assert!((sum.generator_busy() - 0.3).abs() < 1e-9);
        assert!((sum.server_busy().expect("measured") - 0.0008).abs() < 1e-9);
        assert!(Sample::sum(&[]).is_none());
    }

    #[test]
    fn nothing_done_or_nobody_measured_has_no_cost() {
        assert_eq!(sample(0, 1, 0.0).cpu_us(), None);
        assert_eq!(Sample { cpu_ns: None, ..sample(1, 1, 0.0) }.cpu_us(), None);
    }
}
