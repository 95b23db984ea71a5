// SPDX-License-Identifier: Apache-2.0
//
// A bucket of Kodo's whose region is missing or wrong: `quayfs check` and a mount that fails say
// which it is.

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "base/hash.h"
#include "tests/mount/program.h"
#include "tests/server/server.h"

namespace quayfs::mounttest {
namespace {

using ::testing::HasSubstr;

class RegionTest : public ::testing::Test {
 protected:
  RegionTest()
      : folder_(std::filesystem::temp_directory_path() /
                ("quayfs-region-" + HexEncode(RandomBytes(6)))) {
    std::filesystem::create_directories(folder_ / "mnt");
    testserver::ServerConfig server_config;
    server_config.protocol = testserver::Protocol::kKodo;
    server_config.region = "ap-southeast-2";
    server_ = testserver::Server::Start(server_config).value();
  }
  ~RegionTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  std::string Config(const std::string& place) {
    std::string path = folder_ / "n.toml";
    std::ofstream(path) << "provider = \"kodo\"\nbucket = \"test\"\n"
                        << place << "discovery_endpoint = \"" << server_->endpoint() << "\"\n"
                        << "[credentials]\naccess_key_id = \"test-key\"\n"
                        << "secret_access_key = \"test-secret\"\n[cache]\ndirectory = \""
                        << (folder_ / "cache").string() << "\"\n";
    EXPECT_EQ(::chmod(path.c_str(), 0600), 0);
    return path;
  }
  void ExpectSuggestion(const std::string& place) {
    const std::string config = Config(place);
    const std::string wanted =
        "the bucket 'test' is in region 'ap-southeast-2'; set region = "
        "\"ap-southeast-2\" in " +
        config;
    const ProgramResult checked = RunQuayfs({"check", config});
    EXPECT_EQ(checked.status, 2);
    EXPECT_THAT(checked.out, HasSubstr(wanted));
    if (!WhyNoFuse().empty()) return;
    const ProgramResult mounted = RunQuayfs({"mount", config, (folder_ / "mnt").string()});
    EXPECT_NE(mounted.status, 0);
    EXPECT_THAT(mounted.err, HasSubstr(wanted));
  }

  const std::filesystem::path folder_;
  std::unique_ptr<testserver::Server> server_;
};

TEST_F(RegionTest, Missing) { ASSERT_NO_FATAL_FAILURE(ExpectSuggestion("")); }

TEST_F(RegionTest, Wrong) {
  ASSERT_NO_FATAL_FAILURE(ExpectSuggestion("region = \"Asia Pacific-Singapore\"\nendpoint = \"" +
                                           server_->endpoint() + "\"\n"));
}

}  // namespace
}  // namespace quayfs::mounttest
