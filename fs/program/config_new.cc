// SPDX-License-Identifier: Apache-2.0

#include <fcntl.h>
#include <fmt/format.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/text.h"
#include "base/unique_fd.h"
#include "fs/program/commands.h"
#include "fs/program/exit_status.h"
#include "fs/program/launch.h"
#include "mount-configs/compose.h"
#include "mount-configs/import.h"
#include "mount-configs/loader.h"
#include "mount-configs/options.h"

namespace quayfs::program {
namespace {

/// What is typed is not shown while this lives.
class WithoutEcho {
 public:
  WithoutEcho() {
    if (::tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    changed_ = ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent) == 0;
  }
  ~WithoutEcho() {
    if (!changed_) return;
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
    fmt::print(stderr, "\n");
  }
  WithoutEcho(const WithoutEcho&) = delete;
  WithoutEcho& operator=(const WithoutEcho&) = delete;

 private:
  termios before_{};
  bool changed_ = false;
};

/// Without blanks at its ends; empty at the end of the input, too.
std::string Answer(std::string_view question) {
  fmt::print(stderr, "{}: ", question);
  std::string line;
  std::getline(std::cin, line);
  return std::string(TrimBlanks(line));
}

/// Asks for what a mount needs and `settings` do not say.
class Interview {
 public:
  explicit Interview(Settings* settings) : settings_(*settings) {}

  void Run() {
    Ask("provider", "Provider (quayfs providers lists them) [s3]");
    std::string provider = Given("provider").value_or("s3");
    if (provider == "local") return Ask("bucket", "Folder that keeps the objects");
    Ask("bucket", "Bucket");
    if (provider == "s3") {
      Ask("endpoint", "Endpoint, such as https://s3.example.org:9000");
    } else if (provider == "qingstor") {
      Ask("zone", "Zone [pek3a]");
    } else {
      Ask("region", "Region, as the vendor's console shows it");
    }
    Ask("prefix", "Only keys that begin with [the whole bucket]");
    Ask("credentials.access_key_id", "Access key");
    if (!Given("credentials.access_key_id") || !settings_.secret_file.empty()) return;
    const WithoutEcho silent;
    settings_.secret = Answer("Secret key (is not shown)");
  }

 private:
  std::optional<std::string> Given(std::string_view name) const {
    for (const std::string& setting : settings_.options) {
      const size_t equals = std::min(setting.find('='), setting.size());
      const Option* const option = FindOptionByName(setting.substr(0, equals)).option;
      if (option != nullptr && option->full_name() == name)
        return setting.substr(std::min(equals + 1, setting.size()));
    }
    return std::nullopt;
  }
  void Ask(const std::string& name, std::string_view question) {
    if (Given(name)) return;
    const std::string answer = Answer(question);
    if (!answer.empty()) settings_.options.push_back(name + "=" + answer);
  }

  Settings& settings_;
};

Result<std::string> NewText(const ConfigNewRequest& request) {
  if (!request.from.empty()) {
    const Environment environment = [](const std::string& name) -> std::optional<std::string> {
      const char* const value = std::getenv(name.c_str());
      return value == nullptr ? std::nullopt : std::optional<std::string>(value);
    };
    return ImportMountConfig(request.from, request.bucket, environment);
  }
  Settings settings;
  for (const std::string& list : request.options) {
    for (std::string& option : SplitMountOptions(list))
      settings.options.push_back(std::move(option));
  }
  if (!request.bucket.empty()) settings.options.push_back("bucket=" + request.bucket);
  settings.secret_file = request.secret_file;
  if (::isatty(STDIN_FILENO) == 1 && ::isatty(STDERR_FILENO) == 1) Interview(&settings).Run();
  return ComposeMountConfig(settings, request.file);
}

}  // namespace

int RunConfigNew(const ConfigNewRequest& request) {
  // Nobody should answer questions in vain.
  if (::access(request.file.c_str(), F_OK) == 0) {
    PrintError(request.file + " is there already");
    return kExitFailed;
  }
  const auto text = NewText(request);
  if (!text) {
    PrintError(text.error().message());
    return kExitFailed;
  }
  const UniqueFd made(::open(request.file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  const bool written = made.valid() && ::write(made.get(), text->data(), text->size()) ==
                                           static_cast<ssize_t>(text->size());
  if (!written) {
    PrintError(
        fmt::format("cannot write {}: {}", request.file, std::generic_category().message(errno)));
    return kExitFailed;
  }
  fmt::print("{} is written; try it with: quayfs check {}\n", request.file, request.file);
  return kExitOk;
}

}  // namespace quayfs::program
