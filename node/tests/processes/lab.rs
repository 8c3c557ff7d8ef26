//! Namespaces of its own for a test: an empty network, and mounts that nobody else sees. They and all processes in them
//! are gone when the test ends, however it ends.

use super::process::Folder;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

/// Set for a test that runs inside.
const INSIDE: &str = "CRETOAI_INSIDE_LAB";

/// What `unshare` is asked for.
const NAMESPACES: [&str; 6] = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];

/// Whether this process runs in namespaces of its own.
fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Whether the test is to go on: it is in namespaces of its own, and the machine has the tools. Outside it runs itself
/// inside and is through when this returns. Where the machine cannot do it, the test is skipped; in CI it fails.
pub(crate) fn entered<T>(test: T, tools: &[&str]) -> bool {
    if is_inside() {
        shell("ip link set lo up");
        return true;
    }
    let name = name_of(&test);
    if is_able(name, &[&["unshare", "ip"], tools].concat()) {
        let exe = std::env::current_exe().expect("this program");
        let mut command = unshare();
        // Process ids begin anew inside, so files need a folder that nobody else has.
        let folder = Folder::new("lab");
        command.arg(exe).args([name, "--exact", "--nocapture"]).env(INSIDE, "1").env("TMPDIR", &folder.0);
        let output = command.output().expect("`unshare` is there");
        let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{name}, in namespaces of its own: {}\n{told}\n{errors}", output.status);
        assert!(told.contains("1 passed"), "{name} is not the name of this test: {told}");
    }
    false
}

/// Whether the machine has the tools that a test needs, without any namespace.
pub(crate) fn has_tools<T>(test: T, tools: &[&str]) -> bool {
    lacking(tools).is_none_or(|reason| skip(name_of(&test), &reason))
}

fn is_able(test: &str, tools: &[&str]) -> bool {
    let probe = || {
        let output = unshare().arg("true").output().expect("`unshare` is there");
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        (!output.status.success()).then(|| format!("no namespaces for this user ({said})"))
    };
    lacking(tools).or_else(probe).is_none_or(|reason| skip(test, &reason))
}

/// The name under which the test is known: that of its function, without the crate's.
fn name_of<T>(_: &T) -> &'static str {
    let name = std::any::type_name::<T>();
    name.split_once("::").map_or(name, |(_, path)| path)
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(NAMESPACES);
    // Others than root have these rights in a user namespace of their own, where the machine allows that.
    if std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() != 0) {
        command.args(["--user", "--map-root-user"]);
    }
    command
}

fn lacking(tools: &[&str]) -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |tool: &str| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file());
    tools.iter().find(|tool| !is_there(tool)).map(|tool| format!("`{tool}` is not installed"))
}

/// Always false. Written past the harness, which keeps to itself what passing tests print.
fn skip(test: &str, reason: &str) -> bool {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} must run in CI, and cannot: {reason}");
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
    false
}

/// Runs a script, each line of which has to succeed.
#[track_caller]
pub(crate) fn shell(script: &str) {
    let output = Command::new("sh").args(["-ec", script]).output().expect("a shell");
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// A switch in the namespace of the test, which reaches a host for each replica.
pub(crate) struct Switch(());

/// A network that is nobody's: these namespaces have no other.
const PREFIX: &str = "10.9.0";

impl Switch {
    pub(crate) fn new(hosts: usize) -> Self {
        assert!(is_inside(), "only in namespaces of its own");
        shell(&format!(
            "mount -t tmpfs none /run
             mkdir /run/netns
             ip link add switch type bridge
             ip link set switch up
             ip addr add {PREFIX}.254/24 dev switch
             nft add table bridge cuts
             nft 'add set bridge cuts pairs {{ type ifname . ifname; }}'
             nft 'add chain bridge cuts forward {{ type filter hook forward priority 0; }}'
             nft 'add rule bridge cuts forward iifname . oifname @pairs counter drop'"
        ));
        for id in 0..hosts {
            let address = Self::address(id);
            shell(&format!(
                "ip netns add host{id}
                 ip -n host{id} link set lo up
                 ip -n host{id} link add eth0 type veth peer name port{id} netns $$
                 ip link set port{id} master switch up
                 ip -n host{id} addr add {address}/24 dev eth0
                 ip -n host{id} link set eth0 up"
            ));
        }
        Self(())
    }

    /// The address of a host.
    pub(crate) fn address(id: usize) -> String {
        format!("{PREFIX}.{}", id + 1)
    }

    /// What a program has to run under to be on a host.
    pub(crate) fn prefix(id: usize) -> Vec<String> {
        ["ip", "netns", "exec", &format!("host{id}")].map(str::to_owned).to_vec()
    }

    /// Nothing gets from any of these to any of those.
    pub(crate) fn cut(&self, from: &[usize], to: &[usize]) {
        let pairs = from.iter().flat_map(|from| to.iter().map(move |to| (from, to))).filter(|(from, to)| from != to);
        let pairs: Vec<String> = pairs.map(|(from, to)| format!("\"port{from}\" . \"port{to}\"")).collect();
        shell(&format!("nft 'add element bridge cuts pairs {{ {} }}'", pairs.join(", ")));
    }

    /// Neither side hears the other.
    pub(crate) fn part(&self, one: &[usize], other: &[usize]) {
        self.cut(one, other);
        self.cut(other, one);
    }

    /// Everybody reaches everybody.
    pub(crate) fn heal(&self) {
        shell("nft flush set bridge cuts pairs");
    }

    /// How many packets were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        let output = Command::new("nft").args(["list", "chain", "bridge", "cuts", "forward"]).output();
        let listed = String::from_utf8(output.expect("`nft` is there").stdout).expect("text");
        let mut words = listed.split_whitespace().skip_while(|word| *word != "packets");
        words.nth(1).and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no count in {listed}"))
    }
}
