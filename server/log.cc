#include "server/log.h"

#include <unistd.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "google/protobuf/stubs/logging.h"
#include "grpc/support/log.h"
#include "spdlog/formatter.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace heed {
namespace {

// `text` as the inside of a JSON string.
std::string JsonEscaped(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      absl::StrAppend(&out, "\\", absl::string_view(&c, 1));
    } else if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppend(&out, "\\u", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad4));
    } else {
      out.push_back(c);
    }
  }
  return out;
}

bool UsesJson(LogFormat format) {
  if (format == LogFormat::kAuto) return isatty(STDERR_FILENO) == 0;
  return format == LogFormat::kJson;
}

std::shared_ptr<spdlog::logger>& Logger() {
  static auto* const logger =
      new std::shared_ptr<spdlog::logger>(spdlog::stderr_logger_mt("heed-server"));
  return *logger;
}

bool& JsonLines() {
  static bool json = false;
  return json;
}

void Log(spdlog::level::level_enum level, absl::string_view message) {
  const std::string text = JsonLines() ? JsonEscaped(message) : std::string(message);
  Logger()->log(level, spdlog::string_view_t(text.data(), text.size()));
}

void LogOfGrpc(gpr_log_func_args* args) {
  if (args->severity == GPR_LOG_SEVERITY_ERROR) Log(spdlog::level::warn, args->message);
}

// Protobuf complains here about texts of clients that are not UTF-8; those clients are told.
void LogOfProtobuf(google::protobuf::LogLevel level, const char*, int, const std::string& message) {
  Log(level == google::protobuf::LOGLEVEL_FATAL ? spdlog::level::critical : spdlog::level::debug,
      message);
}

}  // namespace

void SetUpLog(const ServerConfig& config) {
  JsonLines() = UsesJson(config.log_format);
  Logger()->set_pattern(JsonLines()
                            ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","message":"%v"})"
                            : "%H:%M:%S.%e %l %v",
                        spdlog::pattern_time_type::utc);
  Logger()->set_level(spdlog::level::from_str(config.log_level));
  Logger()->flush_on(spdlog::level::trace);
  gpr_set_log_function(&LogOfGrpc);
  google::protobuf::SetLogHandler(&LogOfProtobuf);
}

void LogInfo(absl::string_view message) {
  Log(spdlog::level::info, message);
}

void LogWarning(absl::string_view message) {
  Log(spdlog::level::warn, message);
}

void LogError(absl::string_view message) {
  Log(spdlog::level::err, message);
}

}  // namespace heed
