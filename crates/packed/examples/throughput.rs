//! Pictures a second on the processor:
//! `cargo run --release -p packed --example throughput -- NETWORK.safetensors [THREADS]`.

use std::{env, error::Error, time::Instant};

use packed::Network;

const PICTURES: usize = 256;
const REPETITIONS: usize = 9;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let network = Network::open(arguments.first().ok_or("name a packed network")?)?;
    let threads: usize = arguments.get(1).map_or(Ok(2), |text| text.parse())?;
    let bytes = PICTURES * network.picture_len();
    let pictures: Vec<u8> = (0..bytes as u32).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
    network.classify_batch(&pictures, threads)?;
    let mut seconds = Vec::new();
    for _ in 0..REPETITIONS {
        let began = Instant::now();
        network.classify_batch(&pictures, threads)?;
        seconds.push(began.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let rate = |seconds: f64| PICTURES as f64 / seconds;
    let (slowest, fastest) = (rate(seconds[REPETITIONS - 1]), rate(seconds[0]));
    println!(
        "{:.0} images/s ({slowest:.0}..{fastest:.0}), {threads} threads",
        rate(seconds[REPETITIONS / 2])
    );
    Ok(())
}
