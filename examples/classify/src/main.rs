//! Classifies a picture: `cargo run --release -p classify -- NETWORK.safetensors PICTURE.png`.

use std::{env, error::Error};

use image::imageops::FilterType;
use packed::{Network, manifest::Picture};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [network, picture] = arguments.as_slice() else {
        return Err("usage: classify NETWORK.safetensors PICTURE.png".into());
    };
    let network = Network::open(network)?;
    let Picture { height, width, channels } = network.manifest().image;
    let picture = image::open(picture)?.resize_exact(width, height, FilterType::Triangle);
    let pixels = match channels {
        1 => picture.to_luma8().into_raw(),
        3 => picture.to_rgb8().into_raw(),
        other => return Err(format!("the network takes pictures of {other} channels").into()),
    };
    let scores = network.classify(&pixels)?;
    let mut best: Vec<(&String, &f32)> = network.classes().iter().zip(&scores).collect();
    best.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    for (class, score) in best.iter().take(5) {
        println!("{class} {score:.4}");
    }
    Ok(())
}
