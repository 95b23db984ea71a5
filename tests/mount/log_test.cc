// SPDX-License-Identifier: Apache-2.0
//
// What a mount logs: one event a line, in either format, with the service's request ids, without
// secrets, and without end only where somebody has asked for it.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

class LogTest : public ServerTest {
 protected:
  void Refuse(const std::string& operation) {
    testserver::Fault fault;
    fault.operation = operation;
    fault.status = 403;
    fault.code = "AccessDenied";
    fault.count = -1;
    server().AddFault(fault);
  }
  std::vector<std::string> Lines() {
    std::vector<std::string> lines;
    std::istringstream text(env().LogText());
    for (std::string line; std::getline(text, line);) lines.push_back(line);
    return lines;
  }
  bool Logs(const std::string& words) {
    return Eventually([&] { return env().LogText().find(words) != std::string::npos; });
  }
};

TEST_F(LogTest, InJsonEveryLineIsAnEventAndNoneHasASecret) {
  ASSERT_NO_FATAL_FAILURE(env().Mount({"-o", "log.format=json,log.level=debug"}));
  Refuse("PutObject");
  WriteFile(Path("a \"name\"\nof two lines"), "x");
  ASSERT_TRUE(Logs("publish.failed"));
  server().ClearFaults();
  env().Unmount();
  size_t failures = 0;
  for (const std::string& line : Lines()) {
    const json event = json::parse(line, nullptr, false);
    ASSERT_TRUE(event.is_object()) << line;
    for (const char* const key : {"time", "level", "event"}) {
      ASSERT_TRUE(event.contains(key) && event[key].is_string()) << line;
    }
    EXPECT_THAT(line, Not(HasSubstr("test-secret")));
    EXPECT_THAT(line, Not(HasSubstr("Signature=")));
    if (event["event"] != "publish.failed") continue;
    ++failures;
    EXPECT_EQ(event["name"], "a \"name\"\nof two lines");
    EXPECT_THAT(event["error"].get<std::string>(), ::testing::ContainsRegex("request [0-9A-Za-z]"));
  }
  EXPECT_EQ(failures, 1U);
}

TEST_F(LogTest, AStoreThatFailsEveryCallDoesNotFillTheDisk) {
  constexpr int kReads = 150;
  env().PutObject("f", "contents");
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  Refuse("GetObject");
  for (int i = 0; i < kReads; ++i) {
    const UniqueFd file(::open(Path("f").c_str(), O_RDONLY | O_CLOEXEC));
    char byte = 0;
    ASSERT_TRUE(file.valid());
    EXPECT_EQ(::read(file.get(), &byte, 1), -1);
  }
  server().ClearFaults();
  env().Unmount();
  const std::vector<std::string> lines = Lines();
  const auto with = [&lines](const std::string& words) {
    return std::count_if(lines.begin(), lines.end(), [&](const std::string& line) {
      return line.find(words) != std::string::npos;
    });
  };
  const auto written = with(" operation.failed ");
  EXPECT_GE(written, 60);
  EXPECT_LT(written, kReads);
  EXPECT_GE(with("log.left_out of=operation.failed"), 1);
}

}  // namespace
}  // namespace quayfs::mounttest
