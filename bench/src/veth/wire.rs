//! Two wires at a director: one that frames come in by and XDP sends them back by, and one that its kernel
//! forwards them to.
//!
//! ```text
//!   client            director              far
//!   gen0 -------- eth0        eth1 -------- sink0
//! ```

use std::{
    fs,
    os::fd::{AsFd as _, OwnedFd},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use aya::{
    Ebpf,
    maps::{Array, MapData},
    programs::{ProgramFd, TestRun as _, TestRunAttrs, TestRunOptions},
};
use lb_common::wire::Restore;

use crate::{
    cpu,
    lab::{Host, Lab},
    testrun::{CLIENT, OBJECT, RESTORED, native_sum, program_mut},
};

/// Frames that are sent at once.
const BATCH: u32 = 64;

/// The lab, and the programs at its ends.
pub(super) struct Wire {
    // In the order of dropping: what is attached goes before the hosts.
    _sink: OwnedFd,
    object: std::sync::Mutex<Ebpf>,
    sunk: Array<MapData, u64>,
    plan: std::sync::Mutex<Array<MapData, [u64; size_of::<Restore>() / 8]>>,
    generator: u32,
    pub(super) director: Host,
    client: Host,
    far: Host,
    _lab: Lab,
}

impl Wire {
    pub(super) fn new() -> anyhow::Result<Self> {
        let lab = Lab::new("veth")?;
        let (client, director, far) = (lab.host("client")?, lab.host("director")?, lab.host("far")?);
        connect(&client, "gen0", "02:00:00:00:00:64", &director, "eth0", "02:00:00:00:00:01")?;
        connect(&director, "eth1", "02:00:00:00:00:02", &far, "sink0", "02:00:00:00:00:65")?;
        director.add_address("eth0", "172.31.0.1/24")?;
        director.add_address("eth1", "192.168.0.254/24")?;
        for real_server in 1..=3 {
            let (address, mac) =
                (format!("192.168.0.{real_server}"), format!("02:00:00:01:00:0{real_server}"));
            director.run("ip", ["neighbour", "add", &address, "lladdr", &mac, "dev", "eth1"])?;
        }
        director.run("ip", ["route", "add", "10.0.0.0/8", "via", "192.168.0.1"])?;
        for (key, value) in [
            ("net.ipv4.ip_forward", "1"),
            ("net.ipv4.conf.all.send_redirects", "0"),
            ("net.ipv4.conf.eth0.send_redirects", "0"),
        ] {
            director.sysctl(key, value)?;
        }

        let mut object = Ebpf::load(OBJECT).context("the harness does not load")?;
        for name in ["generate", "sink", "floor_tx", "floor_pass", "floor_swap"] {
            program_mut(&mut object, name)?.load()?;
        }
        let take =
            |object: &mut Ebpf, name: &str| object.take_map(name).with_context(|| format!("no map {name}"));
        let sunk = take(&mut object, "SUNK")?.try_into()?;
        let plan = take(&mut object, "RESTORE")?.try_into()?;
        let sink = client.attach_xdp("gen0", program_mut(&mut object, "sink")?.fd()?)?;
        let generator = client.interface_index("gen0")?;
        let (object, plan) = (object.into(), std::sync::Mutex::new(plan));
        Ok(Self { _sink: sink, object, sunk, plan, generator, director, client, far, _lab: lab })
    }

    /// A program of the harness.
    pub(super) fn program(&self, name: &str) -> anyhow::Result<ProgramFd> {
        let mut object = self.object.lock().map_err(|_| anyhow::anyhow!("a thread has panicked"))?;
        Ok(program_mut(&mut object, name)?.fd()?.try_clone()?)
    }

    /// Frames that came back by the first wire.
    pub(super) fn came_back(&self) -> anyhow::Result<u64> {
        Ok(self.sunk.get(&0, 0)?)
    }

    /// Frames that came out at the other one.
    pub(super) fn came_through(&self) -> anyhow::Result<u64> {
        let file = "/sys/class/net/sink0/statistics/rx_packets";
        let text =
            self.far.within(|| fs::read_to_string(file))?.with_context(|| format!("reading {file}"))?;
        Ok(text.trim().parse()?)
    }

    /// Sends so many frames, and says how long each took, down to whole nanoseconds.
    pub(super) fn send(&self, frames: &mut Frames, count: u32) -> anyhow::Result<Duration> {
        let mut plan = self.plan.lock().map_err(|_| anyhow::anyhow!("a thread has panicked"))?;
        plan.set(0, bytemuck::cast::<_, [u64; size_of::<Restore>() / 8]>(frames.plan), 0)?;
        let mut object = self.object.lock().map_err(|_| anyhow::anyhow!("a thread has panicked"))?;
        let program = &*program_mut(&mut object, "generate")?;
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
        let context: [u32; 6] = [0, frames.frame.len() as u32, 0, self.generator, 0, 0];
        // The interface is looked for in the caller's namespace.
        let result = self.client.within(|| -> anyhow::Result<_> {
            // What is received is worked on where it was sent.
            cpu::stay()?;
            let mut options = TestRunOptions::new();
            options.data_in = Some(&frames.frame);
            options.ctx_in = Some(bytemuck::bytes_of(&context));
            options.repeat = count;
            options.attrs = TestRunAttrs::new().xdp_live_frames(BATCH);
            Ok(program.test_run(options)?)
        })??;
        let after: Restore = bytemuck::cast(plan.get(&0, 0)?);
        let made = after.next.wrapping_sub(frames.plan.next);
        ensure!(made == count, "{made} frames were made instead of {count}");
        frames.plan.next = after.next;
        Ok(result.duration)
    }

    /// How a program is put in front of the director's kernel.
    pub(super) fn attach(&self, program: &ProgramFd) -> anyhow::Result<OwnedFd> {
        Ok(self.director.attach_xdp("eth0", &program.as_fd())?)
    }
}

/// The frames of so many flows.
pub(super) struct Frames {
    frame: Vec<u8>,
    plan: Restore,
}

impl Frames {
    pub(super) fn new(frame: &[u8], flows: u32) -> anyhow::Result<Self> {
        let mut bytes = [0; RESTORED];
        bytes.copy_from_slice(frame.get(..RESTORED).context("a frame of less than 64 bytes")?);
        let mut header = [0; 20];
        header.copy_from_slice(&frame[14..34]);
        // Checksum and source address.
        header[10..16].fill(0);
        let plan = Restore {
            bytes: bytemuck::cast(bytes),
            mask: flows - 1,
            first_address: u32::from_be_bytes(CLIENT),
            sum: native_sum(&header).into(),
            ..bytemuck::Zeroable::zeroed()
        };
        Ok(Self { frame: frame.to_vec(), plan })
    }
}

fn connect(host: &Host, near: &str, mac: &str, peer: &Host, far: &str, peer_mac: &str) -> anyhow::Result<()> {
    let namespace = peer.name();
    let pair =
        ["link", "add", near, "address", mac, "type", "veth", "peer", "name", far, "address", peer_mac];
    host.run("ip", pair.into_iter().chain(["netns", &namespace]))?;
    for (host, interface) in [(host, near), (peer, far)] {
        host.run("ethtool", ["-K", interface, "tx", "off"])?;
        host.run("ip", ["link", "set", interface, "up"])?;
    }
    Ok(())
}
