//! Where the program runs: attached to interfaces by links, which are pinned beside the tables.
//!
//! A pinned link outlives the daemon. Whoever comes next puts its own program into it by one system
//! call, and no packet passes between the two.

use std::io;
use std::path::{Path, PathBuf};

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::xdp::{XdpLink, XdpMode as AyaMode};
use aya::programs::{ProgramError, loaded_programs};
use rtnetlink::Handle;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage, LinkXdp, XdpAttached};

use super::kernel::KernelDataplane;
use super::pins::remove_pin;
use super::{Error, remove_pinned_tables};
use crate::model::XdpMode;

/// The prefix of a pinned link's file name; the interface's name follows.
const LINK: &str = "link-";

/// How the program came to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// Newly attached.
    New,
    /// The program of an earlier daemon was replaced, without a packet between.
    Replaced,
}

/// An interface as the kernel shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its index.
    pub index: u32,
    /// Whether an XDP program is attached, and how: `native`, `generic`, `offloaded`.
    pub xdp: Option<(&'static str, u32)>,
}

/// Asks the kernel for an interface; nothing if there is none of that name.
pub async fn interface(handle: &Handle, name: &str) -> Option<Interface> {
    use futures::TryStreamExt as _;
    let message = handle.link().get().match_name(name.to_owned()).execute().try_next().await.ok()??;
    Some(Interface { index: message.header.index, xdp: xdp_of(&message) })
}

fn xdp_of(message: &LinkMessage) -> Option<(&'static str, u32)> {
    let attributes = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Xdp(attributes) => Some(attributes),
        _ => None,
    })?;
    let program = attributes.iter().find_map(|attribute| match attribute {
        LinkXdp::ProgId(id) => Some(*id),
        _ => None,
    })?;
    attributes.iter().find_map(|attribute| match attribute {
        LinkXdp::Attached(XdpAttached::Driver) => Some(("native", program)),
        LinkXdp::Attached(XdpAttached::SocketBuffer) => Some(("generic", program)),
        LinkXdp::Attached(XdpAttached::Hardware) => Some(("offloaded", program)),
        _ => None,
    })
}

impl KernelDataplane {
    /// Attaches the program to an interface, or puts it into the link that is pinned for it.
    pub async fn attach(&mut self, handle: &Handle, name: &str, mode: XdpMode) -> Result<Attachment, Error> {
        let attach_error = |why: String| Error::Attach { interface: name.to_owned(), why };
        let Some(interface) = interface(handle, name).await else {
            return Err(attach_error("there is no such interface".into()));
        };
        let pin = self.pins.as_deref().map(|directory| link_pin(directory, name));
        if let Some(pin) = pin.as_deref().filter(|pin| pin.exists())
            && self.replace(name, pin)?
        {
            return Ok(Attachment::Replaced);
        }
        let link = self.attach_new(interface.index, mode).map_err(|error| {
            attach_error(match errno(&error) {
                Some(libc::EBUSY) => occupied(name, interface.xdp),
                Some(libc::EOPNOTSUPP | libc::EINVAL) if mode == XdpMode::Native => {
                    format!(
                        "its driver has no native XDP ({error}); xdp_mode = \"auto\" falls back to generic"
                    )
                }
                Some(libc::EPERM) => "attaching needs root, or CAP_BPF and CAP_NET_ADMIN".into(),
                _ => format!("XDP could not be attached: {error}"),
            })
        })?;
        let link = match pin {
            Some(pin) => {
                link.pin(&pin).map_err(|error| Error::Pin { path: pin, why: error.to_string() })?.into()
            }
            None => link,
        };
        self.attached.push((name.to_owned(), link));
        Ok(Attachment::New)
    }

    /// Takes the program from an interface.
    pub fn detach(&mut self, name: &str) -> Result<(), Error> {
        if let Some(directory) = &self.pins {
            remove_pin(&link_pin(directory, name))?;
        }
        // The last reference: with it goes the link.
        self.attached.retain(|(attached, _)| attached != name);
        Ok(())
    }

    /// Interfaces that the program is attached to.
    pub fn attached(&self) -> impl Iterator<Item = &str> {
        self.attached.iter().map(|(name, _)| name.as_str())
    }

    fn attach_new(&mut self, index: u32, mode: XdpMode) -> Result<FdLink, ProgramError> {
        let program = self.program_mut().map_err(|_| ProgramError::NotLoaded)?;
        let id = match mode {
            XdpMode::Native => program.attach_to_if_index(index, AyaMode::Driver),
            XdpMode::Generic => program.attach_to_if_index(index, AyaMode::Skb),
            XdpMode::Auto => match program.attach_to_if_index(index, AyaMode::Driver) {
                Err(error) if errno(&error).is_none_or(|errno| errno != libc::EBUSY) => {
                    program.attach_to_if_index(index, AyaMode::Skb)
                }
                other => other,
            },
        }?;
        fd_link(program.take_link(id)?)
    }

    /// Puts the program into a pinned link; whether the link's interface still exists.
    fn replace(&mut self, name: &str, pin: &Path) -> Result<bool, Error> {
        let wrong = |why: String| Error::Pin { path: pin.to_path_buf(), why };
        let link = PinnedLink::from_pin(pin).map_err(|error| wrong(format!("is no link: {error}")))?;
        let link = XdpLink::try_from(FdLink::from(link))
            .map_err(|error| wrong(format!("is no XDP link: {error}")))?;
        let program = self.program_mut()?;
        let id = match program.attach_to_link(link) {
            Ok(id) => id,
            Err(error) if errno(&error) == Some(libc::ENOLINK) => {
                // Its interface is gone; one of the same name is another.
                remove_pin(pin)?;
                return Ok(false);
            }
            Err(error) => return Err(wrong(format!("does not take the new program: {error}"))),
        };
        let link = program.take_link(id).and_then(fd_link).map_err(|error| wrong(error.to_string()))?;
        self.attached.push((name.to_owned(), link));
        Ok(true)
    }
}

/// Interfaces whose links are pinned in a directory.
pub fn pinned_interfaces(directory: &Path) -> Vec<String> {
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<_> = files
        .filter_map(|file| {
            file.file_name().to_str().and_then(|name| name.strip_prefix(LINK)).map(interface_of_pin)
        })
        .collect();
    names.sort();
    names
}

/// Removes everything that is pinned in a directory, and the directory. What was attached is detached by it.
///
/// Returns the interfaces whose links it removed.
pub fn remove_pins(directory: &Path) -> Result<Vec<String>, Error> {
    let interfaces = pinned_interfaces(directory);
    // Links first: no packet meets tables that are going.
    for name in &interfaces {
        remove_pin(&link_pin(directory, name))?;
    }
    remove_pinned_tables(directory)?;
    match std::fs::remove_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::Pin { path: directory.to_path_buf(), why: format!("can't be removed: {error}") })
        }
        _ => Ok(interfaces),
    }
}

/// A bpf file system takes no name with a dot, and `eth0.100` has one.
fn link_pin(directory: &Path, interface: &str) -> PathBuf {
    let escaped = interface.replace('%', "%25").replace('.', "%2e");
    directory.join(format!("{LINK}{escaped}"))
}

fn interface_of_pin(name: &str) -> String {
    name.replace("%2e", ".").replace("%25", "%")
}

fn fd_link(link: XdpLink) -> Result<FdLink, ProgramError> {
    // Without a bpf_link (before Linux 5.9) there is nothing to pin; the kernels we support have it.
    link.try_into().map_err(|_| ProgramError::NotAttached)
}

fn occupied(interface: &str, xdp: Option<(&'static str, u32)>) -> String {
    let Some((mode, id)) = xdp else {
        return "another XDP program is attached; detach it first".into();
    };
    let program = loaded_programs().flatten().find(|program| program.id() == id);
    let name = program.as_ref().and_then(|program| program.name_as_str()).unwrap_or("without a name");
    format!(
        "XDP program {id} ({name}) is attached already, in {mode} mode: lb does not share an interface; \
         detach it by its own means, or with `ip link set dev {interface} xdp off`"
    )
}

fn errno(error: &ProgramError) -> Option<i32> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.raw_os_error();
        }
        source = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_has_no_dot_and_names_its_interface() {
        for interface in ["eth0", "eth0.100", "a%2e.b%", "%25"] {
            let pin = link_pin(Path::new("/pins"), interface);
            let name = pin.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            assert!(!name.contains('.'), "{name}");
            assert_eq!(name.strip_prefix(LINK).map(interface_of_pin).as_deref(), Some(interface));
        }
    }
}
