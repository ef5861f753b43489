//! Where the program is attached: brought in line with what the config names.

use super::director::Director;
use crate::dataplane::{Attachment, interface, pinned_interfaces};
use crate::model;

impl Director {
    /// Attaches to every interface that a config names and that it isn't attached to. Where one fails, those
    /// before it are let go again.
    pub(super) async fn attach(&mut self, wanted: &model::Director) -> anyhow::Result<()> {
        let mut attached = Vec::new();
        for name in &wanted.interfaces {
            if self.kernel.attached().any(|attached| attached == name) {
                continue;
            }
            if let Err(error) = self.attach_one(name, wanted.xdp_mode).await {
                for name in attached {
                    self.let_go(name)?;
                }
                return Err(error);
            }
            attached.push(name);
        }
        Ok(())
    }

    async fn attach_one(&mut self, name: &str, mode: model::XdpMode) -> anyhow::Result<()> {
        let attachment = self.kernel.attach(&self.netlink, name, mode).await?;
        let mode = interface(&self.netlink, name).await.and_then(|interface| interface.xdp);
        self.modes.insert(name.to_owned(), mode.map(|(mode, _)| mode));
        let mode = mode.map_or("unknown", |(mode, _)| mode);
        match attachment {
            Attachment::Replaced => {
                tracing::info!(interface = name, mode, "program replaced, no packet missed");
            }
            Attachment::New if mode == "generic" => tracing::warn!(
                interface = name,
                "attached in generic mode: its driver has no native XDP, and each packet costs several times more"
            ),
            Attachment::New => tracing::info!(interface = name, mode, "attached"),
        }
        Ok(())
    }

    /// Detaches from the interfaces of an earlier config.
    pub(super) fn detach_others(&mut self) -> anyhow::Result<()> {
        for name in pinned_interfaces(&self.options.pins) {
            if !self.model.director.interfaces.contains(&name) {
                self.let_go(&name)?;
            }
        }
        Ok(())
    }

    fn let_go(&mut self, name: &str) -> anyhow::Result<()> {
        self.kernel.detach(name)?;
        self.modes.remove(name);
        tracing::info!(interface = name, "detached");
        Ok(())
    }
}
