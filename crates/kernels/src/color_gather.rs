//! Parts of images of bytes to float inputs, in other colors. Numerics: `reference::color::gather_colored`. Shader:
//! `shaders/color_gather.wgsl`.

use std::borrow::Cow;

use recording::{Bound, Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::color::{ColorGather as Sizes, ColorMap, ColorView, gather_colored};

use crate::{Case, Entry, Mutation, Random, WORKGROUP, floats::UNIT};

/// Fills `dst[samples][out_height][out_width][3]` with values in [0, 1] from `source`, images of bytes (NHWC, three channels,
/// four a word). Row `s` of `views[samples][27]` says of which part: source index, flip (0 or 1), top, left, height, width; and
/// holds the floats of the matrices and the shift of [`ColorMap`]. Source indices count from `first_image`;
/// samples whose image is not among the `images` of `source` are left as they are.
#[derive(Clone, Copy, Debug)]
pub struct ColorGather {
    /// Images of the result.
    pub samples: u32,
    /// Rows of a source image.
    pub source_height: u32,
    /// Columns of a source image.
    pub source_width: u32,
    /// Rows of the result.
    pub out_height: u32,
    /// Columns of the result.
    pub out_width: u32,
    /// Source index of the first image of `source`.
    pub first_image: u32,
    /// Images of `source`.
    pub images: u32,
}

impl ColorGather {
    /// Words of a view.
    pub const VIEW: u32 = 27;

    /// The words of a map of colors, with which a view ends.
    pub fn color_words(map: &ColorMap) -> [u32; 21] {
        let mut words = [0; 21];
        let values = map.pixel.iter().chain(&map.mean).flatten().chain(&map.shift);
        words.iter_mut().zip(values).for_each(|(word, &value)| *word = (value as f32).to_bits());
        words
    }

    fn out_pixels(&self) -> u64 {
        u64::from(self.out_height) * u64::from(self.out_width)
    }
    fn image_bytes(&self) -> u64 {
        3 * u64::from(self.source_height) * u64::from(self.source_width)
    }
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "color_gather",
        source: Cow::Borrowed(include_str!("../../../shaders/color_gather.wgsl")),
        bindings: &[read("source"), read("views"), write("dst")],
    },
    cases,
    mutations: &[
        Mutation { rule: "flip", from: "- shifted, mirrored", to: "- shifted, false" },
        Mutation { rule: "top of the part", from: "first + views[27u * row + 2u]", to: "first" },
        Mutation { rule: "left of the part", from: "views[27u * row + 3u] + across", to: "across" },
        Mutation { rule: "height of the part", from: "views[27u * row + 4u]", to: "params.source_height" },
        Mutation { rule: "width of the part", from: "views[27u * row + 5u]", to: "params.source_width" },
        Mutation {
            rule: "map of pixels",
            from: "product(at, pixel_at(row, first, pixel))",
            to: "pixel_at(row, first, pixel)",
        },
        Mutation { rule: "map of the mean", from: " + product(at + 9u, mean)", to: "" },
        Mutation { rule: "mean of all", from: "sum += sums[other];", to: "sum += vec3(0.0);" },
        Mutation { rule: "shift", from: "word_at(at + 19u)", to: "word_at(at + 18u)" },
        Mutation { rule: "rows of the matrix", from: "vec3(word_at(at + 3u)", to: "vec3(word_at(at)" },
        Mutation { rule: "clipped below", from: "vec3(0.0), vec3(255.0)", to: "vec3(-999.0), vec3(255.0)" },
        Mutation { rule: "clipped above", from: "vec3(0.0), vec3(255.0)", to: "vec3(0.0), vec3(999.0)" },
        Mutation { rule: "range", from: " / 255.0", to: " / 256.0" },
        Mutation { rule: "pixel centers", from: "* size + resized", to: "* size" },
        Mutation { rule: "edge repeated", from: "min(above, size - 1u)", to: "above" },
        Mutation { rule: "nearest instead of bilinear", from: "down.share)", to: "0.0)" },
        Mutation { rule: "byte of a word", from: ">> (8u * (at % 4u))", to: ">> (8u * (3u - at % 4u))" },
        Mutation { rule: "first image", from: " - params.first_image", to: "" },
        Mutation { rule: "images of another part", from: " && stored < params.images", to: "" },
        Mutation { rule: "colors of the sample", from: "let at = 27u * row + 6u;", to: "let at = 6u;" },
        Mutation { rule: "tail sample", from: "sample < params.samples", to: "sample + 1u < params.samples" },
    ],
};

impl Kernel for ColorGather {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        vec![
            Param::u32("samples", self.samples),
            Param::u32("source_height", self.source_height),
            Param::u32("source_width", self.source_width),
            Param::u32("out_height", self.out_height),
            Param::u32("out_width", self.out_width),
            Param::u32("first_image", self.first_image),
            Param::u32("images", self.images),
        ]
    }
    fn constants(&self) -> Vec<Constant> {
        vec![Constant::new("WORKGROUP", WORKGROUP)]
    }
    fn workgroups(&self) -> u64 {
        u64::from(self.samples)
    }
    fn lens(&self) -> Vec<u64> {
        let samples = u64::from(self.samples);
        vec![
            (u64::from(self.images) * self.image_bytes()).div_ceil(4),
            samples * u64::from(Self::VIEW),
            samples * self.out_pixels() * 3,
        ]
    }
    fn loop_trips(&self) -> u64 {
        2 * self.out_pixels().div_ceil(u64::from(WORKGROUP)) + u64::from(WORKGROUP)
    }
    fn work(&self) -> Work {
        let samples = u64::from(self.samples);
        let bytes = samples * (self.image_bytes() + 4 * u64::from(Self::VIEW));
        Work {
            operations: 100 * samples * self.out_pixels(),
            bytes: bytes + 12 * samples * self.out_pixels(),
        }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let samples = self.samples as usize;
        let shape = Sizes {
            height: self.source_height as usize,
            width: self.source_width as usize,
            out_height: self.out_height as usize,
            out_width: self.out_width as usize,
        };
        let bytes: Vec<u8> = buffers[0].iter().flat_map(|word| word.to_le_bytes()).collect();
        let whole = bytes.len() - bytes.len() % (shape.height * shape.width * 3);
        let size = 3 * shape.out_height * shape.out_width;
        let (mut values, mut bounds) = (vec![0.0; samples * size], vec![0.0; samples * size]);
        let mut left = Vec::new();
        for sample in 0..samples {
            let [image, flip, top, first, height, width] =
                *buffers[1][27 * sample..].first_chunk().expect("27 words a sample");
            let stored = image.wrapping_sub(self.first_image);
            if stored >= self.images {
                left.push(sample * size..(sample + 1) * size);
                continue;
            }
            let at = |index: usize| f64::from(f32::from_bits(buffers[1][27 * sample + 6 + index]));
            let matrix = |first: usize| [0, 3, 6].map(|row| [0, 1, 2].map(|column| at(first + row + column)));
            let map = ColorMap { pixel: matrix(0), mean: matrix(9), shift: [at(18), at(19), at(20)] };
            let view = ColorView {
                image: stored as usize,
                flip: flip != 0,
                top: top as usize,
                left: first as usize,
                height: height as usize,
                width: width as usize,
                map,
            };
            values[sample * size..][..size].copy_from_slice(&gather_colored(&shape, &bytes[..whole], &view));
            // Two blends of three operations and a quotient for the share each, then products and their sums; the mean adds
            // up to one sum of an invocation and one over all.
            let largest =
                |m: &[[f64; 3]; 3]| m.iter().flatten().fold(0.0f64, |most, value| most.max(value.abs()));
            let sums = (self.out_pixels().div_ceil(u64::from(WORKGROUP)) + u64::from(WORKGROUP)) as f64;
            let of_pixel = 3.0 * largest(&map.pixel) * 24.0;
            let of_mean = 3.0 * largest(&map.mean) * (24.0 + sums);
            let of_shift = 4.0 * map.shift.iter().fold(0.0f64, |most, value| most.max(value.abs())) / 255.0;
            bounds[sample * size..][..size].fill((of_pixel + of_mean + of_shift + 4.0) * UNIT);
        }
        let mut expected = Expected::within(&values, &bounds);
        for range in left {
            expected.words[range.clone()].copy_from_slice(&buffers[2][range.clone()]);
            if let Bound::Absolute(bounds) = &mut expected.bound {
                bounds[range].fill(0.0);
            }
        }
        vec![expected]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(42);
    let mut case = |samples: u32,
                    [source_height, source_width]: [u32; 2],
                    out: [u32; 2],
                    first_image: u32| {
        let [out_height, out_width] = out;
        let images = 3;
        let words = random.words((images * source_height * source_width * 3).div_ceil(4) as usize);
        let mut views = vec![];
        for sample in 0..samples {
            // Where the source is a part, some samples are of the parts before and behind.
            let among = random.word() % images;
            let image = if first_image == 0 { among } else { first_image - 1 + sample % (images + 2) };
            let (height, width) = (1 + random.word() % source_height, 1 + random.word() % source_width);
            let (top, left) =
                (random.word() % (source_height - height + 1), random.word() % (source_width - width + 1));
            views.extend([image, sample % 2, top, left, height, width]);
            let mut between = |low: f64, high: f64| low + (high - low) * f64::from(random.unit());
            let map = ColorMap::PLAIN
                .contrast(between(0.6, 1.4))
                .brightness(between(0.6, 1.4))
                .saturation(between(0.6, 1.4))
                .shifted([between(-40.0, 40.0), between(-40.0, 40.0), between(-40.0, 40.0)]);
            views.extend(ColorGather::color_words(&map));
        }
        let values = (samples * out_height * out_width * 3) as usize;
        let before = if first_image == 0 { vec![] } else { random.floats(values, 2.0, 3.0) };
        let kernel =
            ColorGather { samples, source_height, source_width, out_height, out_width, first_image, images };
        let label = format!("{samples} of {source_height}x{source_width} to {out:?} from {first_image}");
        Case::new(label, kernel, vec![words, views, before])
    };
    vec![
        case(1, [1, 1], [1, 1], 0),
        case(5, [5, 7], [8, 9], 0),
        case(4, [16, 12], [5, 3], 0),
        case(6, [31, 29], [17, 23], 0),
        case(2, [64, 64], [56, 56], 0),
        case(7, [9, 8], [10, 7], 50_000),
    ]
}
