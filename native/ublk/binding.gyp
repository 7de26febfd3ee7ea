{
  "targets": [
    {
      "target_name": "bandstand",
      "sources": [
        "src/addon.cc",
        "src/device.cc",
        "src/file.cc",
        "src/kernel_calls.cc",
        "src/kernels_portable.cc",
        "src/kernels_x86.cc",
        "src/memory.cc",
        "src/process.cc",
        "src/ranges.cc",
        "src/ring.cc",
        "src/socket.cc",
        "src/state.cc"
      ],
      "dependencies": ["<!(node -p \"require('node-addon-api').targets\"):node_addon_api"],
      "defines": ["NAPI_VERSION=9", "_GNU_SOURCE"],
      "cflags!": ["-fno-strict-aliasing"],
      "cflags": ["-O3", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", "-g0"],
      "cflags_cc!": ["-std=gnu++17"],
      "cflags_cc": ["-std=gnu++20", "-fno-exceptions", "-fno-rtti"],
      "ldflags": ["-Wl,--gc-sections", "-Wl,-z,relro,-z,now"]
    }
  ]
}
