// SPDX-License-Identifier: Apache-2.0
//
// Shared by the tests of mount-configs: loading from text with an environment that is empty unless
// said otherwise, and files that go away with the test.

#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <string>

#include "mount-configs/loader.h"

namespace quayfs::config_test {

inline std::filesystem::path SourceRoot() {
  return QUAYFS_SOURCE_DIR;  // __FILE__ may be relative to the build
}

inline std::string ReadWholeFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

using Variables = std::map<std::string, std::string>;

inline LoadOptions OptionsWith(Variables variables = {}) {
  LoadOptions options;
  options.environment =
      [variables = std::move(variables)](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
  return options;
}

inline Result<MountConfig> Parse(const std::string& text,
                                 const LoadOptions& options = OptionsWith(),
                                 bool readable_by_others = false) {
  return ParseMountConfig(text, "/etc/quayfs/n.toml", readable_by_others, options);
}

/// The message, or "" if it loaded.
inline std::string ErrorOf(const Result<MountConfig>& result) {
  return result.ok() ? "" : result.error().message();
}

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "quayfs-config-XXXXXX").string();
    const char* made = mkdtemp(pattern.data());
    if (made != nullptr) path_ = made;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  std::string path() const { return path_.string(); }

  std::string Write(const std::string& name, const std::string& text, mode_t mode = 0600) const {
    std::string path = *this / name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path, std::ios::binary) << text;
    chmod(path.c_str(), mode);
    return path;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace quayfs::config_test
