// SPDX-License-Identifier: Apache-2.0

#include "mount-configs/loading.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <tuple>
#include <utility>

namespace quayfs {
namespace {

std::optional<std::string> ProcessEnvironment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr) return std::nullopt;
  return std::string(value);
}

std::string AbsoluteOrSame(const std::string& path) {
  std::error_code failed;
  const std::filesystem::path absolute = std::filesystem::absolute(path, failed);
  return failed ? path : absolute.lexically_normal().string();
}

}  // namespace

Loading::Loading(std::string path, bool readable_by_others, const LoadOptions& load_options)
    : path_(std::move(path)),
      readable_by_others_(readable_by_others),
      options_(load_options),
      environment_(load_options.environment ? load_options.environment
                                            : Environment(ProcessEnvironment)) {
  config.path = AbsoluteOrSame(path_);
  directory_ = std::filesystem::path(config.path).parent_path().string();
}

void Loading::AddProblem(const Origin& origin, std::string text, Code code) {
  problems_.push_back({origin, std::move(text), code});
}

void Loading::AddWarning(const Origin& origin, std::string_view text) {
  config.warnings.push_back(Locate(origin, text));
}

void Loading::TakeExtendedFindings(const Origin& origin) {
  for (std::string& error : extended.errors) AddProblem(origin, std::move(error));
  for (const std::string& warning : extended.warnings) AddWarning(origin, warning);
  extended.errors.clear();
  extended.warnings.clear();
}

void Loading::NoteInlineSecret(const Origin& origin, const std::string& name) {
  if (!readable_by_others_) return;
  AddProblem(
      origin,
      fmt::format("'{}' is a secret and others can read this file; run: chmod 600 {}", name, path_),
      Code::kPermissionDenied);
}

bool Loading::IsGiven(std::string_view section, std::string_view key) const {
  return given.find(FindOption(section, key)) != given.end();
}

Origin Loading::OriginOf(std::string_view section, std::string_view key) const {
  const auto found = given.find(FindOption(section, key));
  return found == given.end() ? Origin{} : found->second;
}

std::string Loading::AbsolutePath(const std::string& path) const {
  if (path.empty() || path.front() == '/') return path;
  std::filesystem::path base = directory_;
  std::string rest = path;
  // Where systemd puts what LoadCredential= names.
  constexpr std::string_view kCredentials = "$CREDENTIALS_DIRECTORY/";
  const std::optional<std::string> credentials = environment_("CREDENTIALS_DIRECTORY");
  if (path.rfind(kCredentials, 0) == 0 && credentials && !credentials->empty())
    return (std::filesystem::path(*credentials) / path.substr(kCredentials.size())).string();
  const std::optional<std::string> home = environment_("HOME");
  if (path.rfind("~/", 0) == 0 && home && !home->empty()) {
    base = *home;
    rest = path.substr(2);
  }
  return (base / rest).lexically_normal().string();
}

std::string Loading::Locate(const Origin& origin, std::string_view text) const {
  if (origin.from_command_line) return fmt::format("-o: {}", text);
  if (origin.position.line == 0) return fmt::format("{}: {}", path_, text);
  return fmt::format("{}:{}:{}: {}", path_, origin.position.line, origin.position.column, text);
}

Result<MountConfig> Loading::Finish() && {
  if (problems_.empty()) return std::move(config);
  std::stable_sort(problems_.begin(), problems_.end(), [](const Problem& a, const Problem& b) {
    const auto place = [](const Problem& each) {
      return std::tuple(each.origin.from_command_line, each.origin.position.line,
                        each.origin.position.column);
    };
    return place(a) < place(b);
  });
  std::string text;
  Code code = Code::kInvalidArgument;
  for (const Problem& problem : problems_) {
    if (!text.empty()) text += '\n';
    text += Locate(problem.origin, problem.text);
    if (problem.code == Code::kPermissionDenied) code = problem.code;
  }
  return Error(code, std::move(text));
}

}  // namespace quayfs
