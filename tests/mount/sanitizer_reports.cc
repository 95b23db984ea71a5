// SPDX-License-Identifier: Apache-2.0

#include "tests/mount/sanitizer_reports.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>

namespace quayfs::mounttest {
namespace {

constexpr std::array<std::string_view, 4> kVariables = {"ASAN_OPTIONS", "LSAN_OPTIONS",
                                                        "TSAN_OPTIONS", "UBSAN_OPTIONS"};

/// Owns the folder of the reports, and looks into it after each test.
class ReportListener final : public ::testing::EmptyTestEventListener {
 public:
  const std::string& directory() const { return directory_; }

 private:
  void OnTestProgramStart(const ::testing::UnitTest& /*test*/) override {
    const char* const place = std::getenv("TMPDIR");
    directory_ = std::string(place == nullptr ? "/tmp" : place) + "/quayfs-reports.XXXXXX";
    if (::mkdtemp(directory_.data()) == nullptr)
      ADD_FAILURE() << "mkdtemp " << directory_ << ": " << std::strerror(errno);
    directory_ = std::filesystem::canonical(directory_).string();
  }

  // Everything that the test started has ended: its fixture is gone.
  void OnTestEnd(const ::testing::TestInfo& /*info*/) override {
    std::error_code failed;
    for (const auto& entry : std::filesystem::directory_iterator(directory_, failed)) {
      std::ifstream file(entry.path());
      std::stringstream text;
      text << file.rdbuf();
      ADD_FAILURE() << "a program that this test started was reported:\n" << text.str();
      std::filesystem::remove(entry.path(), failed);
    }
    if (failed) ADD_FAILURE() << directory_ << ": " << failed.message();
  }

  void OnTestProgramEnd(const ::testing::UnitTest& /*test*/) override {
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  std::string directory_;
};

// gtest owns it.
ReportListener* const listener = [] {
  auto* const made = new ReportListener;
  ::testing::UnitTest::GetInstance()->listeners().Append(made);
  return made;
}();

}  // namespace

std::vector<std::string> ReportingEnvironment() {
  std::vector<std::string> result;
  for (char** variable = environ; *variable != nullptr; ++variable) result.emplace_back(*variable);
  for (const std::string_view name : kVariables) {
    std::string* found = nullptr;
    for (std::string& variable : result) {
      if (variable.rfind(std::string(name) + "=", 0) == 0) found = &variable;
    }
    if (found == nullptr) found = &result.emplace_back(std::string(name) + "=");
    // An abort (a failed check, a lock out of order) is reported like a crash.
    *found += ":handle_abort=1:log_path=" + listener->directory() + "/report";
  }
  return result;
}

}  // namespace quayfs::mounttest
