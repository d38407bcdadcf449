use crate::data::assert_close;
use reference::image::{Gather, Light, PixelScale, View, gather, gather_lit};

const COPY: View = View { image: 0, flip: false, dy: 0, dx: 0 };

fn unchanged(height: usize, width: usize, channels: usize) -> Gather {
    Gather {
        height,
        width,
        channels,
        resize_height: height,
        resize_width: width,
        out_height: height,
        out_width: width,
        scale: PixelScale::UNIT,
    }
}

fn in_bytes(shape: &Gather, source: &[u8], view: View) -> Vec<f64> {
    gather(shape, source, &[view]).into_iter().map(|value| value * 255.0).collect()
}

#[test]
fn without_resizing_pixels_are_copied() {
    let source: Vec<u8> = (0..=255).collect();
    let views = [View { image: 3, ..COPY }, View { image: 1, ..COPY }];
    let output = gather(&unchanged(4, 8, 2), &source, &views);
    let expected = (192u8..=255).chain(64..=127).map(|byte| f64::from(byte) / 255.0);
    assert!(output.into_iter().eq(expected));
}

#[test]
fn crops_shift_and_pad_with_zeros() {
    let shape = Gather { out_height: 2, out_width: 3, ..unchanged(3, 3, 1) };
    let source = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    let view = |dy, dx, flip| in_bytes(&shape, &source, View { flip, dy, dx, ..COPY });
    assert_close(&view(1, 0, false), &[4.0, 5.0, 6.0, 7.0, 8.0, 9.0], 1e-14);
    assert_close(&view(-1, 1, false), &[0.0, 0.0, 0.0, 2.0, 3.0, 0.0], 1e-14);
    assert_close(&view(2, -2, false), &[0.0, 0.0, 7.0, 0.0, 0.0, 0.0], 1e-14);
    // The mirror comes before the crop.
    assert_close(&view(0, 1, true), &[2.0, 1.0, 0.0, 5.0, 4.0, 0.0], 1e-14);
    assert_close(&view(9, 9, false), &[0.0; 6], 0.0);
}

#[test]
fn resizing_aligns_pixel_centers_and_repeats_the_edge() {
    let wider = Gather { resize_width: 4, out_width: 4, ..unchanged(1, 2, 1) };
    assert_close(&in_bytes(&wider, &[0, 100], COPY), &[0.0, 25.0, 75.0, 100.0], 1e-13);
    assert_close(
        &in_bytes(&wider, &[0, 100], View { flip: true, dx: 1, ..COPY }),
        &[75.0, 25.0, 0.0, 0.0],
        1e-13,
    );
    let narrower = Gather { resize_width: 2, out_width: 2, ..unchanged(1, 4, 1) };
    assert_close(&in_bytes(&narrower, &[10, 20, 60, 80], COPY), &[15.0, 70.0], 1e-13);
    // Down and across at once, two channels: a plane keeps its slope inside.
    let both =
        Gather { resize_height: 4, resize_width: 4, out_height: 4, out_width: 4, ..unchanged(2, 2, 2) };
    let output = in_bytes(&both, &[0, 8, 40, 8, 80, 8, 120, 8], COPY);
    let steps = [0.0, 0.25, 0.75, 1.0];
    for (index, pixel) in output.chunks_exact(2).enumerate() {
        let expected = 80.0 * steps[index / 4] + 40.0 * steps[index % 4];
        assert_close(pixel, &[expected, 8.0], 1e-13);
    }
}

#[test]
fn light_changes_bytes_step_by_step() {
    let shape = unchanged(1, 4, 1);
    let lit = |bytes: &[u8], offset: i32, factor: u32| {
        let values = gather_lit(&shape, bytes, &COPY, &Light { offset, factor });
        values.into_iter().map(|value| (value * 255.0).round() as u8).collect::<Vec<u8>>()
    };
    assert_eq!(lit(&[0, 9, 100, 255], 0, 4096), [0, 9, 100, 255]);
    // Clipped after the offset, before the mean is taken.
    assert_eq!(lit(&[0, 9, 240, 255], -10, 4096), [0, 0, 230, 245]);
    assert_eq!(lit(&[0, 9, 240, 255], 30, 4096), [30, 39, 255, 255]);
    // The mean is 25: 25 + (x - 25) / 2 and 25 + 1.5 (x - 25), truncated and clipped.
    assert_eq!(lit(&[10, 21, 30, 39], 0, 2048), [17, 23, 27, 32]);
    assert_eq!(lit(&[0, 11, 30, 59], 0, 6144), [0, 4, 32, 76]);
    // Each channel has a mean of its own.
    let two = Gather { channels: 2, ..unchanged(1, 2, 2) };
    let values = gather_lit(&two, &[10, 100, 30, 200], &COPY, &Light { offset: 0, factor: 2048 });
    let bytes: Vec<f64> = values.iter().map(|value| value * 255.0).collect();
    assert_close(&bytes, &[15.0, 125.0, 25.0, 175.0], 1e-12);
}

#[test]
fn without_light_the_resized_image_is_rounded() {
    let shape =
        Gather { resize_height: 10, resize_width: 7, out_height: 9, out_width: 6, ..unchanged(8, 9, 3) };
    let source: Vec<u8> =
        (0..2 * 8 * 9 * 3u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let view = View { image: 1, flip: true, dy: 2, dx: -1 };
    let lit = gather_lit(&shape, &source, &view, &Light { offset: 0, factor: 4096 });
    let plain = gather(&shape, &source, &[view]);
    for (lit, plain) in lit.iter().zip(&plain) {
        assert!((lit - plain).abs() * 255.0 <= 0.5 + 1e-9, "{lit} {plain}");
    }
    assert_ne!(lit, plain);
}

#[test]
fn every_channel_has_its_own_scale_and_black_is_scaled_too() {
    let scale = PixelScale { subtract: [1.0, 2.0, 4.0], divide_by: [1.0, 10.0, 100.0] };
    let shape = Gather { out_width: 2, scale, ..unchanged(1, 1, 4) };
    let wanted = [[10.0, 1.8, 0.16, 0.26], [-1.0, -0.2, -0.04, -0.04]].concat();
    assert_close(&gather(&shape, &[11, 20, 20, 30], &[COPY]), &wanted, 1e-15);
    let lit = gather_lit(&shape, &[11, 20, 20, 30], &COPY, &Light { offset: 0, factor: 4096 });
    assert_close(&lit, &wanted, 1e-15);
}
