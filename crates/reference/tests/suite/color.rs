use crate::data::assert_close;
use reference::color::{ColorGather, ColorMap, ColorView, GRAY, gather_colored};

const SOURCE: [u8; 24] =
    [10, 20, 30, 40, 50, 60, 70, 80, 90, 11, 0, 7, 100, 90, 80, 70, 60, 50, 40, 30, 20, 99, 98, 97];

/// The whole image of 2x4, mapped.
fn whole(map: ColorMap) -> Vec<[f64; 3]> {
    let shape = ColorGather { height: 2, width: 4, out_height: 2, out_width: 4 };
    let view = ColorView { image: 0, flip: false, top: 0, left: 0, height: 2, width: 4, map };
    let values = gather_colored(&shape, &SOURCE, &view);
    values.chunks_exact(3).map(|p| [p[0] * 255.0, p[1] * 255.0, p[2] * 255.0]).collect()
}

fn gray(p: [f64; 3]) -> f64 {
    (0..3).map(|channel| GRAY[channel] * p[channel]).sum()
}

#[test]
fn maps_are_their_steps_one_after_the_other() {
    // Each step computed on the pixels, in several orders; the values stay inside so that no clip interferes.
    type Step = (fn(ColorMap) -> ColorMap, fn(&mut [[f64; 3]]));
    let brightness: Step =
        (|map| map.brightness(0.7), |pixels| pixels.iter_mut().flatten().for_each(|value| *value *= 0.7));
    let contrast: Step = (
        |map| map.contrast(0.6),
        |pixels| {
            let mean = pixels.iter().map(|p| gray(*p)).sum::<f64>() / pixels.len() as f64;
            pixels.iter_mut().flatten().for_each(|value| *value = (*value - mean) * 0.6 + mean);
        },
    );
    let saturation: Step = (
        |map| map.saturation(0.8),
        |pixels| {
            for p in pixels {
                let gray = gray(*p);
                p.iter_mut().for_each(|value| *value = 0.8 * *value + 0.2 * gray);
            }
        },
    );
    let shift: Step = (
        |map| map.shifted([3.0, 2.0, 1.0]),
        |pixels| {
            for p in pixels {
                p.iter_mut().zip([3.0, 2.0, 1.0]).for_each(|(value, more)| *value += more);
            }
        },
    );
    for steps in [
        vec![brightness],
        vec![contrast],
        vec![saturation],
        vec![shift, contrast, brightness, saturation],
        vec![saturation, shift, brightness, contrast],
        vec![contrast, saturation, contrast, shift],
    ] {
        let (mut map, mut pixels) = (ColorMap::PLAIN, whole(ColorMap::PLAIN));
        for (on_map, on_pixels) in steps {
            map = on_map(map);
            on_pixels(&mut pixels);
        }
        assert_close(&whole(map).concat(), &pixels.concat(), 1e-10);
    }
}

#[test]
fn parts_are_cut_resized_mirrored_and_clipped() {
    let shape = ColorGather { height: 2, width: 4, out_height: 1, out_width: 4 };
    let map = ColorMap::PLAIN.shifted([0.0, -55.0, 200.0]);
    let part = ColorView { image: 0, flip: false, top: 1, left: 1, height: 1, width: 2, map };
    let bytes = |view: ColorView| -> Vec<f64> {
        gather_colored(&shape, &SOURCE, &view).iter().map(|value| value * 255.0).collect()
    };
    // Two pixels become four: an edge, two blends, an edge; green ends at 0, blue at 255.
    let wanted = [70.0, 5.0, 250.0, 62.5, 0.0, 242.5, 47.5, 0.0, 227.5, 40.0, 0.0, 220.0];
    assert_close(&bytes(part), &wanted, 1e-10);
    let mirrored: Vec<f64> = wanted.chunks(3).rev().flatten().copied().collect();
    assert_close(&bytes(ColorView { flip: true, ..part }), &mirrored, 1e-10);
    let bright = ColorView { map: ColorMap::PLAIN.brightness(10.0), ..part };
    assert_close(&bytes(bright)[..3], &[255.0; 3], 1e-10);
}
