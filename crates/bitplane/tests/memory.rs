//! Hostile checkpoints and packed files take no memory: a process of its own, whose peak is read from the system.
#![cfg(target_os = "linux")]

use bitplane::checkpoint::Checkpoint;
use packed::File;

/// Peak memory of this process in KiB.
fn peak() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches("kB").trim().parse().expect("a number")
}

fn file(header: &str) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat()
}

#[test]
fn hostile_headers_take_less_than_64_mib() {
    let entry = r#"{"dtype":"F32","shape":[0],"data_offsets":[0,0]}"#;
    let tensors =
        |count: u32| (0..count).map(|at| format!(r#""{at}":{entry}"#)).collect::<Vec<_>>().join(",");
    let metadata = r#""__metadata__":{"packed_network":"","sha256":""}"#;
    let zeros = "0,".repeat(500_000);
    let mut hostile: Vec<Vec<u8>> = [
        format!("{{{}}}", tensors(100_000)),
        format!("{{{metadata},{}}}", tensors(15_000)),
        format!(r#"{{{metadata},"a":{}}}"#, entry.replace("[0]", &format!("[{zeros}0]"))),
        format!(r#"{{{metadata},"a":{}}}"#, entry.replace("[0]", "[4294967296,4294967296,4294967296]")),
        format!(
            r#"{{{metadata},"a":{}}}"#,
            entry.replace("[0]", "[1073741824]").replace("[0,0]", "[0,4294967296]")
        ),
        "[".repeat(1 << 20),
        format!(r#"{{"__metadata__":[{zeros}0]}}"#),
    ]
    .iter()
    .map(|header| file(header))
    .collect();
    let description = format!(r#"{{"format":1,"classes":[{}""]}}"#, r#""","#.repeat(100_000));
    let quoted = serde_json::to_string(&description).expect("text");
    hostile.push(file(&format!(r#"{{"__metadata__":{{"packed_network":{quoted},"sha256":""}}}}"#)));
    hostile.push([(1u64 << 63).to_le_bytes(), [0; 8]].concat());
    let before = peak();
    for bytes in &hostile {
        let shown = String::from_utf8_lossy(&bytes[8..bytes.len().min(88)]).into_owned();
        assert!(File::decode(bytes).is_err(), "{shown}");
        assert!(Checkpoint::decode(bytes).is_err(), "{shown}");
    }
    let taken = peak() - before;
    assert!(taken < 64 << 10, "{taken} KiB");
}
