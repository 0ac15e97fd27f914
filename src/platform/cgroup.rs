//! A limit on the number of processes of one server, by a control group of its own.
//!
//! `RLIMIT_NPROC` cannot do it: it counts all processes of a user and does not bind root. The `pids` controller of
//! control groups counts a group, if the system has given the gateway a place where it may make groups (systemd:
//! `Delegate=pids`). Without one the server runs unbounded and the reason is handed on, to be logged.
//!
//! The keeper moves itself into the group before it starts the server, so every descendant is born there and no
//! moment is without the limit. The kernel counts threads, as it does for `TasksMax=`; the keeper is one of them.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where control groups are mounted on every system in use (`file-hierarchy(7)`).
const ROOT: &str = "/sys/fs/cgroup";

/// The controller that counts processes, in the kernel's spelling.
const CONTROLLER: &str = "pids";

/// Members of a group: what is written moves, and 0 stands for the writer.
const MEMBERS: &str = "cgroup.procs";

/// The keeper, which has one thread, sits in the group beside the server.
const KEEPERS: u64 = 1;

/// Longest part of a label in a group's name: file names end at 255 bytes.
const LABEL_CHARS: usize = 64;

/// Groups that this process has made, so that two generations of one server never share one.
static MADE: AtomicU64 = AtomicU64::new(0);

/// Why there is no group.
#[derive(Debug, thiserror::Error)]
#[error(
    "no pids cgroup is delegated to the gateway ({0}); under systemd, set `Delegate=pids` in the [Service] section \
     of its unit"
)]
pub(super) struct NotDelegated(String);

impl NotDelegated {
    /// The group was there, but the keeper could not enter it.
    pub(super) fn not_entered(reason: &io::Error) -> Self {
        Self(format!("the keeper cannot enter its group: {reason}"))
    }
}

/// The control groups of the system, as this process sees them.
#[derive(Clone, Debug)]
pub struct Cgroups {
    root: PathBuf,
    membership: String,
}

impl Cgroups {
    /// Those of the running system. One without control groups is one where none is delegated.
    pub fn of_system() -> Self {
        Self::at(ROOT, fs::read_to_string("/proc/self/cgroup").unwrap_or_default())
    }

    /// Those mounted at `root`, for a process whose `/proc/self/cgroup` says `membership`.
    pub fn at(root: impl Into<PathBuf>, membership: impl Into<String>) -> Self {
        Self { root: root.into(), membership: membership.into() }
    }

    /// Makes an empty group for a server and that many of its processes.
    pub(super) fn make(&self, label: &str, processes: u64) -> Result<Group, NotDelegated> {
        let (place, version) = self.own_place()?;
        if version == Version::Two {
            hand_down(&place)?;
        }
        let group = create(&place, label)?;
        if version == Version::Two {
            // The gateway stays where it is. Only threaded groups may lie below a group that has processes itself.
            write(&group.directory.join("cgroup.type"), "threaded")?;
        }
        write(&group.directory.join("pids.max"), &processes.saturating_add(KEEPERS).to_string())?;
        Ok(group)
    }

    /// The directory of our own group in the hierarchy that counts processes.
    fn own_place(&self) -> Result<(PathBuf, Version), NotDelegated> {
        let mut unified = None;
        for line in self.membership.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
            if controllers.is_empty() {
                unified = Some(path);
            } else if controllers.split(',').any(|name| name == CONTROLLER) {
                // A controller is in one hierarchy only: with version 1 here it is not in version 2.
                return Ok((below(&self.root.join(CONTROLLER), path)?, Version::One));
            }
        }
        match unified {
            Some(path) => Ok((below(&self.root, path)?, Version::Two)),
            None => Err(NotDelegated("this system has no control groups that count processes".to_owned())),
        }
    }
}

/// The two interfaces of the kernel (`cgroups(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// The group of one generation of a server. It goes when this is dropped, if it has no process any more.
#[derive(Debug)]
pub(super) struct Group {
    directory: PathBuf,
}

impl Group {
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Gone already if the keeper could finish its work; busy if it is still about to.
        let _ = fs::remove_dir(&self.directory);
    }
}

/// The keeper's side: enters the group. What it starts from now on is in it from birth.
pub(super) fn enter(group: &Path) -> io::Result<()> {
    fs::write(group.join(MEMBERS), "0")
}

/// The keeper's side: goes back to the gateway's group and removes its own, for a gateway that may be gone.
pub(super) fn leave(group: &Path) {
    if let Some(place) = group.parent()
        && fs::write(place.join(MEMBERS), "0").is_ok()
    {
        let _ = fs::remove_dir(group);
    }
}

/// The directory of the group `path` (absolute, as the kernel writes it) under a mount.
fn below(mount: &Path, path: &str) -> Result<PathBuf, NotDelegated> {
    let relative = Path::new(path.trim_start_matches('/'));
    let place = mount.join(relative);
    // A group outside of the process's own view is shown with `..`.
    let inside = relative.components().all(|part| matches!(part, Component::Normal(_)));
    // A mount point without its mount is a directory like any other: files in it would limit nothing.
    if inside && place.join(MEMBERS).is_file() {
        Ok(place)
    } else {
        Err(NotDelegated(format!("the gateway's own group {path} is not to be found in {}", mount.display())))
    }
}

/// Version 2: makes the controller available to the groups below ours.
fn hand_down(place: &Path) -> Result<(), NotDelegated> {
    if !lists(&place.join("cgroup.controllers"))? {
        return Err(NotDelegated(format!("{} does not have the pids controller", place.display())));
    }
    let handed_down = place.join("cgroup.subtree_control");
    if lists(&handed_down)? {
        return Ok(());
    }
    write(&handed_down, "+pids")
}

fn lists(file: &Path) -> Result<bool, NotDelegated> {
    let names = fs::read_to_string(file).map_err(|error| failed("read", file, &error))?;
    Ok(names.split_whitespace().any(|name| name == CONTROLLER))
}

/// A new directory: server and gateway are in its name for people who look; the count makes it unique.
fn create(place: &Path, label: &str) -> Result<Group, NotDelegated> {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    let label: String = label.chars().take(LABEL_CHARS).map(plain).collect();
    loop {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let directory = place.join(format!("trunkline-{label}-{}-{number}", process::id()));
        match fs::create_dir(&directory) {
            Ok(()) => return Ok(Group { directory }),
            // Of a gateway that had our process id and was killed together with its keepers.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed("create", &directory, &error)),
        }
    }
}

fn write(file: &Path, what: &str) -> Result<(), NotDelegated> {
    fs::write(file, what).map_err(|error| failed("write", file, &error))
}

fn failed(what: &str, file: &Path, error: &io::Error) -> NotDelegated {
    NotDelegated(format!("cannot {what} {}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of plain files in place of the kernel's, with these groups in it.
    fn tree(groups: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for group in groups {
            fs::create_dir_all(root.path().join(group)).unwrap();
            fs::write(root.path().join(group).join(MEMBERS), "").unwrap();
        }
        root
    }

    fn read(file: impl AsRef<Path>) -> String {
        fs::read_to_string(file).unwrap()
    }

    /// The kernel removes a group's files with it; a plain directory must be empty.
    fn empty(directory: &Path) {
        fs::read_dir(directory).unwrap().for_each(|file| fs::remove_file(file.unwrap().path()).unwrap());
    }

    fn refusal(cgroups: &Cgroups) -> String {
        cgroups.make("a", 1).unwrap_err().to_string()
    }

    #[test]
    fn a_version_1_group_gets_its_limit_with_room_for_the_keeper_and_goes_with_its_owner() {
        let root = tree(&["pids/our/place"]);
        let membership = "9:cpu,cpuacct:/\n8:pids:/our/place\n0::/elsewhere\n";
        let group = Cgroups::at(root.path(), membership).make("files/x", 20).unwrap();
        let directory = group.directory().to_owned();
        assert_eq!(directory.parent().unwrap(), root.path().join("pids/our/place"));
        let name = directory.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.starts_with(&format!("trunkline-files-x-{}-", process::id())), "{name}");
        assert_eq!(read(directory.join("pids.max")), "21");
        assert!(!directory.join("cgroup.type").exists(), "version 1 has no such file");
        empty(&directory);
        drop(group);
        assert!(!directory.exists());
    }

    #[test]
    fn a_version_2_group_is_threaded_and_the_controller_is_handed_down() {
        let root = tree(&["gateway.service"]);
        let place = root.path().join("gateway.service");
        fs::write(place.join("cgroup.controllers"), "cpu pids\n").unwrap();
        fs::write(place.join("cgroup.subtree_control"), "").unwrap();
        let cgroups = Cgroups::at(root.path(), "0::/gateway.service\n");
        let group = cgroups.make("a", 1).unwrap();
        assert_eq!(read(place.join("cgroup.subtree_control")), "+pids");
        assert_eq!(read(group.directory().join("cgroup.type")), "threaded");
        assert_eq!(read(group.directory().join("pids.max")), "2");

        fs::write(place.join("cgroup.subtree_control"), "pids\n").unwrap();
        let second = cgroups.make("a", 1).unwrap();
        assert_eq!(read(place.join("cgroup.subtree_control")), "pids\n", "it was handed down already");
        assert_ne!(group.directory(), second.directory());
    }

    #[test]
    fn a_keeper_enters_and_leaves_by_itself_and_takes_the_group_with_it() {
        let root = tree(&["pids"]);
        let group = Cgroups::at(root.path(), "8:pids:/").make("a", 1).unwrap();
        enter(group.directory()).unwrap();
        assert_eq!(read(group.directory().join(MEMBERS)), "0");
        empty(group.directory());
        leave(group.directory());
        assert_eq!(read(root.path().join("pids").join(MEMBERS)), "0");
        assert!(!group.directory().exists());
    }

    #[test]
    fn where_nothing_is_delegated_the_reason_and_the_cure_are_said() {
        let root = tree(&["here", "bare"]);
        fs::create_dir_all(root.path().join("pids/unmounted")).unwrap();
        fs::write(root.path().join("here/cgroup.controllers"), "cpu memory\n").unwrap();
        for (membership, reason) in [
            ("", "no control groups that count processes"),
            ("5:devices:/\n", "no control groups that count processes"),
            ("0::/here\n", "does not have the pids controller"),
            ("0::/bare\n", "cannot read"),
            ("8:pids:/unmounted\n", "/unmounted is not to be found"),
            ("0::/gone\n", "/gone is not to be found"),
            ("0::/../here\n", "/../here is not to be found"),
        ] {
            let said = refusal(&Cgroups::at(root.path(), membership));
            assert!(said.contains(reason) && said.contains("`Delegate=pids`"), "{membership:?}: {said}");
        }
    }
}
