#!/bin/sh
# Brings what Bitplane needs on a bare machine: on Linux without any Vulkan device the distribution's lavapipe (a software
# Vulkan driver), the Vulkan loader, a C linker, and Rust with its WebAssembly target; with --checks also what `cargo xtask ci`
# needs besides, Python. Safe to run again; asks for root only where something must be installed.
set -eu

RUST_MINOR=95

say() { printf 'setup: %s\n' "$*"; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; return; fi
    if command -v sudo >/dev/null 2>&1; then sudo "$@"; return; fi
    say "root is needed for: $*"
    exit 1
}

# Installs packages with the distribution's tool; fails where there is none or it has no such package.
install() {
    say "installing $*"
    if command -v apt-get >/dev/null 2>&1; then
        as_root apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
    elif command -v dnf >/dev/null 2>&1; then
        as_root dnf install -y -q "$@"
    elif command -v pacman >/dev/null 2>&1; then
        as_root pacman -Sy --needed --noconfirm "$@"
    elif command -v zypper >/dev/null 2>&1; then
        as_root zypper --non-interactive install "$@"
    else
        say "no known package manager"
        return 1
    fi
}

# The packages of a need, by package manager.
packages() {
    if command -v apt-get >/dev/null 2>&1; then set -- "$1" apt
    elif command -v dnf >/dev/null 2>&1; then set -- "$1" dnf
    elif command -v pacman >/dev/null 2>&1; then set -- "$1" pacman
    else set -- "$1" zypper
    fi
    case "$1-$2" in
    driver-apt) echo libvulkan1 mesa-vulkan-drivers ;;
    driver-dnf) echo vulkan-loader mesa-vulkan-drivers ;;
    driver-pacman) echo vulkan-icd-loader vulkan-swrast ;;
    driver-zypper) echo libvulkan1 libvulkan_lvp ;;
    linker-apt) echo gcc libc6-dev ;;
    linker-*) echo gcc ;;
    python-apt) echo python3 python3-venv ;;
    python-pacman) echo python ;;
    python-*) echo python3 ;;
    esac
}

has_loader() { ldconfig -p 2>/dev/null | grep -q 'libvulkan\.so\.1' || [ -e /usr/lib/libvulkan.so.1 ]; }

# Drivers announce themselves by JSON files in the loader's folders; $1 is a pattern for their names.
has_driver_file() {
    for folder in /usr/share/vulkan/icd.d /etc/vulkan/icd.d /usr/local/share/vulkan/icd.d \
        /usr/local/etc/vulkan/icd.d "${HOME:-/nonexistent}/.local/share/vulkan/icd.d"; do
        for file in "$folder"/$1; do
            [ -e "$file" ] && return 0
        done
    done
    return 1
}

has_gpu() {
    for node in /dev/dri/renderD* /dev/nvidiactl /dev/dxg; do
        [ -e "$node" ] && return 0
    done
    return 1
}

# A driver's file alone is no device: images often carry the file of a GPU that the machine lacks.
has_device() {
    [ -n "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ] && return 0
    has_loader || return 1
    has_driver_file 'lvp_icd*.json' && return 0
    has_gpu && has_driver_file '*.json'
}

setup_linux() {
    if has_device; then
        say "a Vulkan device is here"
    else
        # shellcheck disable=SC2046
        install $(packages driver) || { say "install the Vulkan loader and Mesa's lavapipe driver by hand"; exit 1; }
    fi
    if ! command -v cc >/dev/null 2>&1; then
        # shellcheck disable=SC2046
        install $(packages linker) || { say "install a C compiler by hand"; exit 1; }
    fi
}

setup_rust() {
    if ! command -v cargo >/dev/null 2>&1 && ! command -v rustup >/dev/null 2>&1; then
        if [ "$(uname -s)" != Linux ] || ! install rustup; then
            say "Rust 1.$RUST_MINOR or newer is needed: install it with rustup and run this again"
            exit 1
        fi
    fi
    if command -v rustup >/dev/null 2>&1 && ! cargo --version >/dev/null 2>&1; then
        rustup toolchain install stable --profile minimal --component rustfmt,clippy
        rustup default stable
    fi
    minor=$(cargo --version | sed -n 's/^cargo 1\.\([0-9]*\)\..*/\1/p')
    if [ -n "$minor" ] && [ "$minor" -lt "$RUST_MINOR" ]; then
        say "cargo 1.$minor is too old, 1.$RUST_MINOR is needed: rustup update"
        exit 1
    fi
    # Only the developers' checks compile for WebAssembly.
    if command -v rustup >/dev/null 2>&1; then
        if ! rustup target list --installed | grep -q '^wasm32-unknown-unknown$'; then
            rustup target add wasm32-unknown-unknown || say "no WebAssembly target; cargo xtask ci needs it"
        fi
    fi
}

# Tests compare with readers and writers in Python.
setup_python() {
    if ! python3 -c 'import ensurepip, venv' >/dev/null 2>&1; then
        # shellcheck disable=SC2046
        install $(packages python) || { say "install Python 3.11 or newer with its venv module by hand"; exit 1; }
    fi
}

case "$(uname -s)" in
Linux)
    setup_linux
    if [ "${1:-}" = --checks ]; then setup_python; fi
    ;;
Darwin) say "macOS has Metal; the Xcode command line tools bring the linker (xcode-select --install)" ;;
*) say "on Windows the graphics driver brings Vulkan or DX12" ;;
esac
setup_rust
say "ready: cargo run --release -- train"
