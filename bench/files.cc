// SPDX-License-Identifier: Apache-2.0
//
// Creates, writes and closes many small files in one folder, or removes them, one after the other
// in one thread, and prints how many of that a second holds.

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>

namespace {

bool Failed(const char* call, const std::string& path) {
  fmt::print(stderr, "bench_files: {} {}: {}\n", call, path, std::strerror(errno));
  return false;
}

bool Create(const std::string& path, const std::string& body) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return Failed("open", path);
  if (write(fd, body.data(), body.size()) != static_cast<ssize_t>(body.size())) {
    close(fd);
    return Failed("write", path);
  }
  return close(fd) == 0 || Failed("close", path);
}

bool Remove(const std::string& path) { return unlink(path.c_str()) == 0 || Failed("unlink", path); }

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Many small files");
  std::string what;
  std::string folder;
  uint64_t count = 10000;
  size_t size = 4096;
  app.add_option("what", what, "create or remove")
      ->required()
      ->check(CLI::IsMember({"create", "remove"}));
  app.add_option("folder", folder, "it is there already")->required();
  app.add_option("--count", count, "files");
  app.add_option("--size", size, "bytes of each");
  CLI11_PARSE(app, argc, argv);

  const std::string body(size, 'q');
  const auto start = std::chrono::steady_clock::now();
  for (uint64_t i = 0; i < count; ++i) {
    const std::string path = folder + "/file-" + std::to_string(i);
    if (!(what == "create" ? Create(path, body) : Remove(path))) return 1;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  fmt::print("{} {:.0f} files/s\n", what, static_cast<double>(count) / took.count());
  return 0;
}
