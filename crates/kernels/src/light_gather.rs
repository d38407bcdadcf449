//! Images of bytes to float inputs, with another brightness and contrast. Numerics: `reference::image::gather_lit`. Shader:
//! `shaders/light_gather.wgsl`.

use std::borrow::Cow;

use recording::{Constant, Expected, Kernel, Param, Shader, Work, read, write};
use reference::image::{Light, PixelScale, View, gather_lit};

use crate::image_gather::SCALE;
use crate::pictures::{gathered, whole_images};
use crate::{Case, Entry, ImageGather, Mutation, Random, WORKGROUP};

/// Does what [`ImageGather`] does, with the resized image rounded to bytes and then lit: row `s` of `lights[samples][2]` has
/// the signed offset that is added to every byte, and the contrast's factor times 4,096.
///
/// The resized image has at most 65,536 pixels ([`LightGather::MOST_PIXELS`]), so that sums fit in 32 bits.
#[derive(Clone, Copy, Debug)]
pub struct LightGather {
    /// Sizes, and the part of the pictures that is there.
    pub gather: ImageGather,
}

impl LightGather {
    /// Pixels of the resized image at most.
    pub const MOST_PIXELS: u64 = 1 << 16;
}

pub(crate) static ENTRY: Entry = Entry {
    shader: Shader {
        name: "light_gather",
        source: Cow::Borrowed(include_str!("../../../shaders/light_gather.wgsl")),
        bindings: &[read("source"), read("table"), read("lights"), write("dst")],
    },
    cases,
    mutations: &[
        Mutation { rule: "flip", from: "shifted, mirrored", to: "shifted, false" },
        Mutation { rule: "crop row", from: "+ table[4u * row + 2u]", to: "" },
        Mutation { rule: "crop column", from: "+ table[4u * row + 3u]", to: "" },
        Mutation { rule: "offset", from: "/ whole) + offset", to: "/ whole)" },
        Mutation { rule: "offset clipped above", from: "+ offset, 0, 255)", to: "+ offset, 0, 512)" },
        Mutation { rule: "offset clipped below", from: "+ offset, 0, 255)", to: "+ offset, -64, 255)" },
        Mutation { rule: "contrast", from: "* factor + 4096", to: "* 4096 + 4096" },
        Mutation { rule: "contrast clipped", from: "clamp(contrast, 0, 255)", to: "contrast" },
        Mutation { rule: "truncated", from: "4096 * mean) >>", to: "4096 * mean + 524288) >>" },
        Mutation { rule: "mean rounded", from: "256u + pixels / 2u", to: "256u" },
        Mutation { rule: "mean of the channel", from: "sum += sums[other];", to: "sum += 0u;" },
        Mutation { rule: "resize rounded", from: " + whole / 2u", to: "" },
        Mutation { rule: "pixel centers", from: "* size + resized", to: "* size" },
        Mutation { rule: "edge repeated", from: "min(above, size - 1u)", to: "above" },
        Mutation { rule: "byte of a word", from: ">> (8u * (at % 4u))", to: ">> (8u * (3u - at % 4u))" },
        Mutation { rule: "source image", from: "(image * params", to: "(0u * params" },
        Mutation { rule: "first image", from: " - params.first_image", to: "" },
        Mutation { rule: "images of another part", from: " && stored < params.images", to: "" },
        Mutation {
            rule: "outside is zero",
            from: "select(0, clamp(contrast, 0, 255), inside)",
            to: "clamp(contrast, 0, 255)",
        },
        Mutation { rule: "last channel", from: "channel < CHANNELS", to: "channel + 1u < CHANNELS" },
        Mutation { rule: "subtracted", from: "(value - subtract[at])", to: "value" },
        Mutation { rule: "divided by of the channel", from: "divide_by[at]", to: "divide_by[0]" },
        Mutation { rule: "lights of the sample", from: "lights[2u * row]", to: "lights[0u]" },
        Mutation { rule: "tail sample", from: "sample < params.samples", to: "sample + 1u < params.samples" },
    ],
};

impl LightGather {
    fn pixels(&self) -> u64 {
        u64::from(self.gather.resize_height) * u64::from(self.gather.resize_width)
    }
    fn out_pixels(&self) -> u64 {
        u64::from(self.gather.out_height) * u64::from(self.gather.out_width)
    }
}

impl Kernel for LightGather {
    fn shader(&self) -> &Shader {
        &ENTRY.shader
    }
    fn params(&self) -> Vec<Param> {
        self.gather.params()
    }
    fn constants(&self) -> Vec<Constant> {
        self.gather.constants()
    }
    fn workgroups(&self) -> u64 {
        u64::from(self.gather.samples)
    }
    fn lens(&self) -> Vec<u64> {
        let lens = self.gather.lens();
        vec![lens[0], lens[1], 2 * u64::from(self.gather.samples), lens[2]]
    }
    fn loop_trips(&self) -> u64 {
        let group = u64::from(WORKGROUP);
        let parts = self.pixels().div_ceil(group) + group + self.out_pixels().div_ceil(group);
        u64::from(self.gather.channels) * parts
    }
    fn work(&self) -> Work {
        let samples = u64::from(self.gather.samples) * u64::from(self.gather.channels);
        let Work { bytes, .. } = self.gather.work();
        Work { operations: 24 * samples * (self.pixels() + self.out_pixels()), bytes }
    }
    fn expected(&self, buffers: &[&[u32]]) -> Vec<Expected> {
        let gather = &self.gather;
        let shape = gather.to_reference();
        let bytes = whole_images(buffers[0], gather.image_len());
        let show = |sample: usize| {
            let [picture, flip, dy, dx] =
                *buffers[1][4 * sample..].first_chunk().expect("four words a sample");
            let image = gather.held().place_of(picture)?;
            let view = View { image, flip: flip != 0, dy: dy.cast_signed(), dx: dx.cast_signed() };
            let [offset, factor] = *buffers[2][2 * sample..].first_chunk().expect("two words a sample");
            Some(gather_lit(&shape, &bytes, &view, &Light { offset: offset.cast_signed(), factor }))
        };
        let sizes = (gather.samples as usize, gather.sample_len(), gather.channels as usize);
        // The bytes are exact.
        vec![gathered(buffers[3], sizes, (&gather.scale, 0.0), show)]
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(41);
    let mut case = |samples: u32, source: [u32; 3], resize: [u32; 2], out: [u32; 2], first_image: u32| {
        let [source_height, source_width, channels] = source;
        let [resize_height, resize_width] = resize;
        let [out_height, out_width] = out;
        let images = 3;
        let words = random.words((images * source_height * source_width * channels).div_ceil(4) as usize);
        let (mut table, mut lights) = (vec![], vec![]);
        for sample in 0..samples {
            let offset = |word: u32, slack: u32| (word % (2 * slack + 3)).wrapping_sub(slack + 1);
            // Where the source is a part, some samples are of the parts before and behind.
            let among = random.word() % images;
            let image = if first_image == 0 { among } else { first_image - 1 + sample % (images + 2) };
            table.extend([image, sample % 2]);
            table.push(offset(random.word(), resize_height.abs_diff(out_height)));
            table.push(offset(random.word(), resize_width.abs_diff(out_width)));
            lights.push((random.word() % 61).wrapping_sub(30));
            lights.push(2048 + random.word() % 4097);
        }
        let values = (samples * out_height * out_width * channels) as usize;
        let before = if first_image == 0 { vec![] } else { random.floats(values, 2.0, 3.0) };
        let gather = ImageGather {
            samples,
            source_height,
            source_width,
            channels,
            resize_height,
            resize_width,
            out_height,
            out_width,
            first_image,
            images,
            scale: if samples.is_multiple_of(2) { SCALE } else { PixelScale::UNIT },
        };
        let label = format!("{samples} of {source:?} to {resize:?} crop {out:?} from {first_image}");
        Case::new(label, LightGather { gather }, vec![words, table, lights, before])
    };
    vec![
        case(1, [1, 1, 1], [1, 1], [1, 1], 0),
        case(5, [5, 7, 3], [5, 7], [5, 7], 0),
        case(4, [8, 8, 3], [10, 10], [8, 9], 0),
        case(6, [7, 9, 2], [13, 5], [11, 4], 0),
        case(3, [16, 16, 1], [5, 3], [7, 3], 0),
        case(4, [32, 32, 3], [40, 40], [40, 40], 0),
        case(7, [6, 8, 3], [9, 11], [9, 11], 50_000),
    ]
}
